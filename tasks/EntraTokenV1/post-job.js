// What the agent starts when the job ends. It may be a Node as old as 6, so this is JavaScript that Node 6 can parse.

if (parseInt(process.versions.node, 10) >= 20) {
  require('./clean-up.js');
} else {
  require('./newer-node.js').cleanUp();
}
