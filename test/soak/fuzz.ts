import { fuzzOnce } from '../hostile/answer-generator.ts';
import { Clouds } from '../hostile/run-step.ts';
import { type Section, sideBySide } from './section.ts';

function* numbers(from: number, count: number): Generator<number> {
  for (let number = from; number < from + count; number++) yield number;
}

/** Seeds follow each other from one that the day gives; `npm test` has the first of all. */
export const fuzz: Section = {
  name: 'fuzz',
  about: 'answers of either service that nobody foresaw: the step ends once, says why, and shows no secret',
  size: 10_000,
  async run(cases, report) {
    const clouds = new Clouds();
    const first = Number(process.env['SOAK_SEED'] ?? 1000);
    report.note(`seeds ${first} to ${first + cases - 1}`);
    const ends = new Map<string, number>();
    await sideBySide(numbers(first, cases), 4, (seed) =>
      clouds.lend(async (cloud) => {
        const { about, wrong, ended } = await fuzzOnce(cloud, seed);
        const end = ended.code ?? ended.result;
        ends.set(end, (ends.get(end) ?? 0) + 1);
        report.judge(about, wrong);
      }),
    );
    for (const [end, count] of [...ends].sort(([, a], [, b]) => b - a))
      report.note(`${String(count).padStart(6)} ${end}`);
    await clouds.close();
  },
};
