import { Button, Notice } from './components/controls.tsx';
import { ErrorBoundary } from './components/ErrorBoundary.tsx';
import { Header } from './components/Header.tsx';
import { SignIn } from './components/SignIn.tsx';
import { Workspace } from './components/Workspace.tsx';
import { useHealth } from './hooks/use-health.ts';
import { useSession } from './hooks/use-session.ts';
import { useUpdate } from './hooks/use-update.ts';

export function App() {
  const session = useSession();
  const health = useHealth();
  const updated = useUpdate();
  const isLoading = session.state === 'loading' || health === undefined;
  return (
    <div className="flex min-h-dvh flex-col lg:h-dvh">
      {updated && (
        <div role="status">
          <Notice
            kind="info"
            action={
              <Button look="primary" onClick={() => location.reload()}>
                Reload
              </Button>
            }
          >
            A new version of this page is there. What you have written is kept.
          </Notice>
        </div>
      )}
      <ErrorBoundary fallback={<Broken />}>
        {(isLoading || session.state === 'signed out') && (
          <Header health={null} isolation={null} away={false} />
        )}
        {!isLoading && session.state === 'signed out' && (
          <SignIn
            key={session.reason}
            auth={session.auth}
            reason={session.reason}
            onSignIn={session.signIn}
          />
        )}
        {!isLoading && session.state === 'signed in' && (
          <Workspace
            client={session.client}
            seen={session.seen}
            health={health}
            onSignOut={session.signOut}
          />
        )}
      </ErrorBoundary>
    </div>
  );
}

const Broken = () => (
  <main className="m-auto max-w-md p-6">
    <Notice kind="error" action={<Button onClick={() => location.reload()}>Reload</Button>}>
      Something on this page broke. Nothing of what ran is lost.
    </Notice>
  </main>
);
