/**
 * The HTTP routes, the one table of them: infra makes an API Gateway route and a function of each, the local runtime
 * serves them, openapi.json describes them. `handler` names a file in this folder.
 */
export interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** A path template of API Gateway; served under /api, and locally at the root too. */
  path: string;
  handler: string;
  summary: string;
  /** Needs no caller to be known. */
  open?: true;
}

export const routes = [
  { method: 'POST', path: '/execute', handler: 'execute', summary: 'Start an execution' },
  { method: 'GET', path: '/executions', handler: 'list-executions', summary: 'History, newest first' },
  {
    method: 'GET',
    path: '/executions/{id}',
    handler: 'get-execution',
    summary: 'One execution with its attempts',
  },
  { method: 'DELETE', path: '/executions/{id}', handler: 'cancel-execution', summary: 'Cancel an execution' },
  {
    method: 'GET',
    path: '/executions/{id}/events',
    handler: 'list-events',
    summary: 'Events of an execution, for clients without WebSocket',
  },
  {
    method: 'GET',
    path: '/executions/{id}/artifacts/{name+}',
    handler: 'get-artifact',
    summary: 'Download a file that the code left',
  },
  {
    method: 'GET',
    path: '/executions/{id}/notebook',
    handler: 'get-notebook',
    summary: 'The program and what came of it as a Jupyter notebook',
  },
  {
    method: 'GET',
    path: '/executions/{id}/archive',
    handler: 'get-archive',
    summary: 'The program, its output and its files as a ZIP file',
  },
  { method: 'GET', path: '/health', handler: 'get-health', summary: 'Health', open: true },
  { method: 'GET', path: '/metrics', handler: 'get-metrics', summary: 'Metrics as JSON or Prometheus text' },
  { method: 'GET', path: '/openapi.json', handler: 'get-openapi', summary: 'This description', open: true },
] as const satisfies readonly Route[];
