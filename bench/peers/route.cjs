// Leads the real names of the services to the local cloud, below the libraries, whose own code stays as it is: they
// know these names by heart, and for any other host would first ask Entra for metadata.
const { Socket } = require('node:net');

const routes = new Map(Object.entries(JSON.parse(process.env.BENCH_ROUTES)));
const { connect } = Socket.prototype;
Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  const [host, port] = routes.get(`${options?.host}:${options?.port}`)?.split(':') ?? [];
  if (host !== undefined) {
    Object.assign(options, { host, port: Number(port) });
  }
  return connect.apply(this, args);
};
