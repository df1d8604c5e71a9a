/** The packages that programs may import. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const REQUIREMENTS_IN = fileURLToPath(new URL('../sandbox-image/requirements.in', import.meta.url));

/** Names of the packages that the image is made to offer, the most used first. */
export const offeredPackages = (): string[] =>
  readFileSync(REQUIREMENTS_IN, 'utf8').match(/^[a-z][\w-]*$/gm) ?? [];

const NAMED = 4;

/** In a line: `numpy 2.4.6, pandas 3.1.1, … and 11 more`. `packages`: version by name. */
export function packagesInBrief(packages: Record<string, string>): string {
  const offered = offeredPackages();
  const rank = (name: string) => offered.indexOf(name) + 1 || offered.length + 1;
  const names = Object.keys(packages).sort((a, b) => rank(a) - rank(b));
  const named = names.slice(0, NAMED).map((name) => `${name} ${packages[name]}`);
  const more = names.length - named.length;
  if (named.length === 0) return 'standard library only';
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ');
}
