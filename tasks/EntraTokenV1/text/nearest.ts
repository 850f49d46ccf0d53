/** The candidate that was most likely meant by a misspelt word, without regard to case; undefined where none is near. */
export function nearest<Name extends string>(word: string, candidates: readonly Name[]): Name | undefined {
  const wanted = word.toLowerCase();
  let best: { name: Name; distance: number } | undefined;
  for (const name of candidates) {
    const distance = distanceBetween(wanted, name.toLowerCase());
    if (distance < (best?.distance ?? Number.POSITIVE_INFINITY)) {
      best = { name, distance };
    }
  }
  // A third of the letters may be wrong.
  if (best !== undefined && best.distance <= Math.max(1, Math.floor(Math.max(wanted.length, best.name.length) / 3))) {
    return best.name;
  }
  return wanted.length < 3
    ? undefined
    : candidates.find((name) => name.toLowerCase().includes(wanted) || wanted.includes(name.toLowerCase()));
}

/** How many letters have to be inserted, removed, replaced or exchanged with their neighbour (Damerau, Levenshtein). */
function distanceBetween(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      const isExchanged = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
        isExchanged ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforeLast, last] = [last, current];
  }
  return last[to.length] ?? 0;
}
