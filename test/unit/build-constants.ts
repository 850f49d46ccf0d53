// What the build puts into the code; to be imported before the task's modules.
Object.assign(globalThis, { TASK_VERSION: '0.0.0', DOCS_URL: 'https://docs.example' });
