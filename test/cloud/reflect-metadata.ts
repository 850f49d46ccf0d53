/**
 * The three functions of the Reflect metadata proposal that `@peculiar/x509` needs to load.
 *
 * Its dependency container refuses to load without them, and reads metadata only of classes that decorators
 * described, of which there are none here: a map by object and key is enough. Import this file before the library.
 */
type Metadata = Map<unknown, unknown>;

const known = new WeakMap<object, Metadata>();

const missing = {
  defineMetadata(key: unknown, value: unknown, target: object): void {
    const metadata = known.get(target) ?? new Map<unknown, unknown>();
    metadata.set(key, value);
    known.set(target, metadata);
  },
  getOwnMetadata(key: unknown, target: object): unknown {
    return known.get(target)?.get(key);
  },
  getMetadata(key: unknown, target: object): unknown {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at)) {
      const metadata = known.get(at);
      if (metadata?.has(key)) return metadata.get(key);
    }
    return undefined;
  },
};

for (const [name, value] of Object.entries(missing)) {
  if (!(name in Reflect)) Object.defineProperty(Reflect, name, { value, configurable: true, writable: true });
}
