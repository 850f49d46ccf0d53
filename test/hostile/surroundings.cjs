/*
 * Loaded into the step's process (NODE_OPTIONS=--require) to give it a name service, a clock and a priority of the test's choice.
 * Plain JavaScript, because the step's Node loads it as it stands.
 *
 * TEST_NAMES: JSON, host name to addresses in the order in which the resolver gives them; an empty list is a name that
 *   does not exist.
 * TEST_CLOCK: how many times faster the process's clock and its timers run, so that a budget of a minute is over in
 *   seconds. Sockets are as fast as ever.
 * TEST_PRIORITY: the process's priority, 19 for the lowest.
 */
'use strict';
const dns = require('node:dns');
const os = require('node:os');
const timers = require('node:timers/promises');

if (process.env.TEST_PRIORITY) {
  os.setPriority(Number(process.env.TEST_PRIORITY));
}

const names = JSON.parse(process.env.TEST_NAMES || '{}');
const lookup = dns.lookup;
dns.lookup = (host, options, callback) => {
  const addresses = names[host];
  if (addresses === undefined) {
    return lookup(host, options, callback);
  }
  const done = callback ?? options;
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  process.nextTick(() => {
    if (found.length === 0) {
      done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND', syscall: 'getaddrinfo' }));
    } else if (typeof options === 'object' && options.all) {
      done(null, found);
    } else {
      done(null, found[0].address, found[0].family);
    }
  });
};

const times = Number(process.env.TEST_CLOCK || 1);
if (times !== 1) {
  const { now } = Date;
  const { setTimeout } = globalThis;
  const sleep = timers.setTimeout;
  const start = now();
  Date.now = () => start + (now() - start) * times;
  // The step's monotonic clock (step.ts).
  const elapsed = process.hrtime.bigint;
  process.hrtime.bigint = () => elapsed() * BigInt(times);
  globalThis.setTimeout = (callback, milliseconds, ...rest) => setTimeout(callback, milliseconds / times, ...rest);
  timers.setTimeout = (milliseconds, ...rest) => sleep(milliseconds / times, ...rest);
}
