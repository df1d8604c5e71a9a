import { useCallback, useEffect, useMemo, useState } from 'react';
import { type Client, createClient } from '../api/client.ts';
import { forgetSeen, openSeen, rememberArtifacts, SEE_NOTHING, type Seen } from '../api/seen.ts';
import {
  type Auth,
  forgetKey,
  isRemembered,
  KEY,
  keyHeaders,
  lastAuth,
  readAuth,
  savedKey,
  saveKey,
} from '../api/session.ts';

export type Session =
  | { state: 'loading' }
  | {
      state: 'signed out';
      auth: Exclude<Auth, 'none'>;
      reason: string | null;
      signIn: (key: string, remember: boolean) => Promise<void>;
    }
  | { state: 'signed in'; client: Client; seen: Seen; signOut?: () => void };

/** Who uses the page, and the client that speaks for them. */
export function useSession(): Session {
  const [auth, setAuth] = useState<Auth | null>(null);
  const [key, setKey] = useState(savedKey);
  const [reason, setReason] = useState<string | null>(null);

  useEffect(() => {
    const read = () => readAuth().then(setAuth, () => setAuth(lastAuth()));
    void read();
    window.addEventListener('online', read);
    return () => window.removeEventListener('online', read);
  }, []);

  const leave = useCallback((why: string | null) => {
    forgetKey();
    void forgetSeen();
    setKey(null);
    setReason(why);
  }, []);

  // Who signs in or out in another tab does it here as well, if the key is this device's.
  useEffect(() => {
    const onStorage = (event: StorageEvent) => {
      if (event.key === KEY) setKey(savedKey());
    };
    window.addEventListener('storage', onStorage);
    return () => window.removeEventListener('storage', onStorage);
  }, []);

  const seen = useMemo(
    () => (auth === 'none' || (key && isRemembered()) ? openSeen() : SEE_NOTHING),
    [auth, key],
  );
  const client = useMemo(() => {
    const service = createClient({
      origin: location.origin,
      credentials: () => keyHeaders(auth ?? 'none', key),
      onUnauthorized: () => {
        // A service that asks for a key, though its settings do not say so, takes API keys. One that was not sent is
        // not refused.
        if (auth === 'none') setAuth('api-key');
        else leave(key ? 'Your key is not accepted any more. Sign in with a valid one.' : null);
      },
    });
    return rememberArtifacts(service, seen);
  }, [auth, key, leave, seen]);

  const signIn = useCallback(
    async (given: string, remember: boolean) => {
      if (!/^[\x21-\x7e]+$/.test(given)) {
        throw new Error('A key has neither spaces nor letters with accents. Copy it anew.');
      }
      const service = createClient({
        origin: location.origin,
        credentials: () => keyHeaders(auth ?? 'none', given),
      });
      await service.executions(null);
      saveKey(given, remember);
      setReason(null);
      setKey(given);
    },
    [auth],
  );

  if (auth === null) return { state: 'loading' };
  if (auth !== 'none' && !key) return { state: 'signed out', auth, reason, signIn };
  return { state: 'signed in', client, seen, signOut: auth === 'none' ? undefined : () => leave(null) };
}
