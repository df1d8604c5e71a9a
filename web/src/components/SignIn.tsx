import { type FormEvent, useId, useState } from 'react';
import type { Auth } from '../api/session.ts';
import { Button, Notice } from './controls.tsx';
import { SpinnerIcon } from './icons.tsx';

interface SignInProps {
  auth: Exclude<Auth, 'none'>;
  /** Why it is asked for again. */
  reason: string | null;
  /** Tries the key. @throws if it is not accepted */
  onSignIn: (key: string, remember: boolean) => Promise<void>;
}

/** Asks for the key that the environment wants. */
export function SignIn({ auth, reason, onSignIn }: SignInProps) {
  const id = useId();
  const [key, setKey] = useState('');
  const [remember, setRemember] = useState(false);
  const [trying, setTrying] = useState(false);
  const [problem, setProblem] = useState(reason);
  const name = auth === 'jwt' ? 'Access token' : 'API key';

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setTrying(true);
    setProblem(null);
    try {
      await onSignIn(key.trim(), remember);
    } catch (error) {
      setProblem((error as Error).message);
      setTrying(false);
    }
  };

  return (
    <main className="flex flex-1 items-center justify-center p-4">
      <form
        onSubmit={(event) => void submit(event)}
        className="flex w-full max-w-sm flex-col gap-4 rounded-lg border border-line bg-panel p-6"
      >
        <h1 className="font-semibold text-lg">Sign in</h1>
        <div>
          <label htmlFor={id} className="mb-1 block">
            {name}
          </label>
          <input
            id={id}
            type="password"
            required
            // biome-ignore lint/a11y/noAutofocus: the only thing to do on this page
            autoFocus
            autoComplete="off"
            value={key}
            onChange={(event) => setKey(event.target.value)}
            className="h-9 w-full rounded-md border border-control bg-inset px-2"
          />
          <p className="mt-1 text-muted text-xs">
            {auth === 'jwt'
              ? 'From your identity provider.'
              : 'Whoever runs this service makes one with “npm run keys -- create”.'}
          </p>
        </div>
        <label className="flex items-center gap-2">
          <input
            type="checkbox"
            checked={remember}
            onChange={(event) => setRemember(event.target.checked)}
            className="size-4 accent-accent"
          />
          Remember it on this device
        </label>
        {problem && <Notice kind="error">{problem}</Notice>}
        <Button type="submit" look="primary" disabled={trying || key.trim() === ''}>
          {trying && <SpinnerIcon />} Sign in
        </Button>
      </form>
    </main>
  );
}
