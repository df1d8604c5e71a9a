/** Reading environment variables: a wrong value is an error that names the variable and what it may be. */
import { ConfigurationError } from './errors.ts';

export function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new ConfigurationError(`${name} is not set`);
  return value;
}

interface NumberRange {
  min: number;
  max: number;
  /** default: whole numbers only */
  fractions?: boolean;
}

export function number(name: string, standard: number, { min, max, fractions = false }: NumberRange): number {
  const text = process.env[name]?.trim();
  if (!text) return standard;
  const value = Number(text);
  if (value >= min && value <= max && (fractions || Number.isInteger(value))) return value;
  const kind = fractions ? 'number' : 'whole number';
  throw new ConfigurationError(`${name} must be a ${kind} from ${min} to ${max}, but is "${text}"`);
}

export function oneOf<T extends string>(name: string, standard: T, allowed: readonly T[]): T {
  const value = process.env[name]?.trim() || standard;
  const found = allowed.find((option) => option === value);
  if (found) return found;
  throw new ConfigurationError(`${name} must be one of ${allowed.join(', ')}, but is "${value}"`);
}

/** What `read` makes of the named groups of `pattern`; undefined if the variable is not set. `form` says how it is to be written. */
export function matching<T>(
  name: string,
  pattern: RegExp,
  form: string,
  read: (groups: Record<string, string>) => T | undefined,
): T | undefined {
  const text = process.env[name]?.trim();
  if (!text) return undefined;
  const groups = pattern.exec(text)?.groups as Record<string, string> | undefined;
  const value = groups && read(groups);
  if (value !== undefined) return value;
  throw new ConfigurationError(`${name} must be ${form}, but is "${text}"`);
}
