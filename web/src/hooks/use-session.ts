import { useCallback, useEffect, useMemo, useState } from 'react';
import { type Client, createClient } from '../api/client.ts';
import { forgetSeen, openSeen, rememberArtifacts, SEE_NOTHING, type Seen } from '../api/seen.ts';
import {
  type Auth,
  forgetKey,
  isRemembered,
  keyHeaders,
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
    // Without a connection nobody can be asked for a key, but what was seen can be shown.
    readAuth().then(setAuth, () => setAuth('none'));
  }, []);

  const leave = useCallback((why: string | null) => {
    forgetKey();
    void forgetSeen();
    setKey(null);
    setReason(why);
  }, []);

  const seen = useMemo(
    () => (auth === 'none' || (key && isRemembered()) ? openSeen() : SEE_NOTHING),
    [auth, key],
  );
  const client = useMemo(() => {
    const service = createClient({
      credentials: () => keyHeaders(auth ?? 'none', key),
      onUnauthorized: () => {
        // A service that asks for a key, though its settings do not say so, takes API keys.
        setAuth((known) => (known === 'none' ? 'api-key' : known));
        leave(key ? 'Your key is not accepted any more. Sign in with a valid one.' : null);
      },
    });
    return rememberArtifacts(service, seen);
  }, [auth, key, leave, seen]);

  const signIn = useCallback(
    async (given: string, remember: boolean) => {
      await createClient({ credentials: () => keyHeaders(auth ?? 'none', given) }).executions(null);
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
