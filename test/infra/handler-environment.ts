/** Finds, from the code alone, which environment variables a handler reads. */
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { root } from '../../infra/bundle.ts';

/** Libraries that read variables, by what shows that a bundle uses the library. */
const LIBRARIES: [sign: string, variables: string[]][] = [
  ['new PostToConnectionCommand', ['AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI']],
];

/** What Node.js and the logger read: set on all alike. */
const RUNTIME = ['NODE_OPTIONS', 'POWERTOOLS_SERVICE_NAME', 'POWERTOOLS_LOG_LEVEL'];

const READ =
  /\b(?:required|number|oneOf|matching)\d*\(\s*"([A-Z][A-Z0-9_]*)"|\bprocess\.env\.([A-Z][A-Z0-9_]*)/g;

const readIn = (code: string) =>
  [...code.matchAll(READ)].map(([, named, direct]) => (named ?? direct) as string);

/**
 * All at once, by handler. What the bundler leaves out as unreachable counts as not read, and of the settings in
 * functions/service/config.ts, which is one object, only those that the rest of the bundle asks for.
 */
export function variablesRead(handlers: readonly string[]): Map<string, Set<string>> {
  const { outputFiles } = buildSync({
    absWorkingDir: root,
    entryPoints: handlers.map((handler) => ({ in: `functions/${handler}.ts`, out: handler })),
    outdir: join(root, 'unwritten'),
    write: false,
    bundle: true,
    platform: 'node',
    format: 'esm',
    mainFields: ['module', 'main'],
  });
  return new Map(
    handlers.map((handler) => {
      const file = outputFiles.find(({ path }) => path.endsWith(`/unwritten/${handler}.js`));
      if (!file) throw new Error(`${handler} was not bundled.`);
      return [handler, variablesReadBy(file.text)];
    }),
  );
}

function variablesReadBy(bundle: string): Set<string> {
  const modules = ourModules(bundle);
  const [name, config] = cutConfig(modules);
  const others = [...modules]
    .map(([file, code]) => (file.endsWith('service/config.ts') ? '' : code))
    .join('\n');
  const asked = new Set<string>();
  const ask = (code: string) => {
    for (const setting of settingsIn(code, name)) {
      const getter = config.get(setting);
      if (getter === undefined || asked.has(setting)) continue;
      asked.add(setting);
      ask(getter);
    }
  };
  ask(others);
  const code = [others, ...[...asked].map((setting) => config.get(setting))].join('\n');
  const libraries = LIBRARIES.filter(([sign]) => bundle.includes(sign)).flatMap(([, variables]) => variables);
  return new Set([...RUNTIME, ...libraries, ...readIn(code)]);
}

/** The settings that `code` asks for: `config.policy`, or `const { policy } = config`. */
function settingsIn(code: string, name: string): string[] {
  const single = [...code.matchAll(new RegExp(`\\b${name}\\.(\\w+)`, 'g'))].map(
    ([, setting = '']) => setting,
  );
  const several = [...code.matchAll(new RegExp(`\\{([^{}]*)\\} = ${name};`, 'g'))];
  return [...single, ...several.flatMap(([, settings = '']) => settings.match(/\b\w+/g) ?? [])];
}

/** The modules of functions/ in a bundle, by file: the bundler writes each one's name before it. */
function ourModules(bundle: string): Map<string, string> {
  const parts = bundle.split(/^\/\/ (\S+\.(?:[cm]?[jt]s|json))$/m);
  const modules = new Map<string, string>();
  for (let index = 1; index < parts.length; index += 2) {
    const file = parts[index] as string;
    if (file.startsWith('functions/')) modules.set(file, (modules.get(file) ?? '') + parts[index + 1]);
  }
  return modules;
}

/** The name of the settings' object in the bundle, and the code of each of its getters. */
function cutConfig(modules: Map<string, string>): [name: string, getters: Map<string, string>] {
  const code = modules.get('functions/service/config.ts') ?? '';
  const name = /^var (config\d*) = \{/m.exec(code)?.[1] ?? 'config';
  const parts = code.split(/^ {2}get (\w+)\(\) \{$/m);
  const getters = new Map<string, string>();
  for (let index = 1; index < parts.length; index += 2) {
    getters.set(parts[index] as string, (parts[index + 1] as string).split(/^ {2}\},?$/m)[0] as string);
  }
  return [name, getters];
}
