/** Who uses the page: what kind of key the environment asks for, and where the key is kept. */

export type Auth = 'none' | 'api-key' | 'jwt';

export const KEY = 'key';
const AUTH = 'auth';

/** The environment's settings: public/config.json, which a deployment replaces by its own. */
export async function readAuth(): Promise<Auth> {
  const response = await fetch('/config.json');
  if (!response.ok) throw new Error(`config.json was answered with ${response.status}`);
  const { auth = 'none' } = (await response.json()) as { auth?: Auth };
  localStorage.setItem(AUTH, auth);
  return auth;
}

/** What the environment asked for when it last could be asked. */
export const lastAuth = () => (localStorage.getItem(AUTH) ?? 'none') as Auth;

export const savedKey = () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);

export const isRemembered = () => localStorage.getItem(KEY) !== null;

/** Keeps a key for this tab's session, or, with `remember`, on this device. */
export function saveKey(key: string, remember: boolean): void {
  forgetKey();
  (remember ? localStorage : sessionStorage).setItem(KEY, key);
}

export function forgetKey(): void {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

/** The headers that carry a key. */
export function keyHeaders(auth: Auth, key: string | null): Record<string, string> {
  if (!key || auth === 'none') return {};
  return auth === 'jwt' ? { authorization: `Bearer ${key}` } : { 'x-api-key': key };
}
