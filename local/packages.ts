/** The packages that programs may import: what is there, and how to get what the image has beside that. */
import { mostUsedFirst, offeredPackages } from '../infra/sandbox-image.ts';
import { findEnvironment } from './python-environment.ts';
import { type Settings, sandboxKind } from './settings.ts';

const NAMED = 4;

/** In a line: `numpy 2.4.6, pandas 3.1.1, … and 11 more`. `packages`: version by name. */
export function packagesInBrief(packages: Record<string, string>): string {
  const names = mostUsedFirst(Object.keys(packages));
  return names.length === 0
    ? 'standard library only'
    : firstOf(names.map((name) => `${name} ${packages[name]}`));
}

/** How to get what is missing of the image's packages, or newer ones; null where there is nothing to get. */
export async function packagesAdvice(
  packages: Record<string, string>,
  settings: Settings,
): Promise<string | null> {
  const missing = offeredPackages().filter((name) => !(name in packages));
  if (sandboxKind(settings) === 'docker') {
    return missing.length > 0 ? 'the image is an older one: build it again' : null;
  }
  const environment = await findEnvironment(settings.dataDir);
  const isOverruled = Boolean(process.env.PYTHON?.trim());
  if (missing.length === 0) {
    const isOld = environment && !environment.isCurrent && !isOverruled;
    return isOld ? '`npm run packages` brings them up to date' : null;
  }
  if (!isOverruled) return `\`npm run packages\` gets ${firstOf(missing)}`;
  return environment
    ? `PYTHON is set, so those of \`npm run packages\` are not used`
    : `without PYTHON, \`npm run packages\` gets ${firstOf(missing)}`;
}

function firstOf(names: string[]): string {
  const more = names.length - NAMED;
  return more > 0 ? `${names.slice(0, NAMED).join(', ')} and ${more} more` : names.join(', ');
}
