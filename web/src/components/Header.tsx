import type { Health } from '../api/client.ts';
import { type ThemeChoice, useTheme } from '../hooks/use-theme.ts';
import { Button, Link } from './controls.tsx';
import { MoonIcon, PlusIcon, ScreenIcon, ShieldIcon, SunIcon } from './icons.tsx';

interface HeaderProps {
  /** null until it is known. */
  health: Health | null;
  /** State of each isolation layer, of the shown execution's sandbox or the last one. */
  isolation: Record<string, string> | null;
  /** Whether to offer the way back to a new task, which is in sight on a wide page. */
  away: boolean;
  onSignOut?: () => void;
}

/** Name, model, isolation, theme, sign-out. */
export const Header = ({ health, isolation, away, onSignOut }: HeaderProps) => (
  <header className="flex items-center gap-1 border-line border-b bg-panel px-3 py-1.5 lg:px-4">
    <Link href="/" className="mr-auto flex min-w-0 items-center gap-2 rounded-md font-semibold">
      <img src="/favicon.svg" alt="" width="22" height="22" />
      <span className="truncate">Recursive AI Executor</span>
    </Link>
    {health && (
      <span className="mr-2 hidden text-muted text-xs md:inline">
        Model <span className="font-mono text-text">{health.model.name}</span>
      </span>
    )}
    {away && (
      <Link
        href="/"
        className="flex min-h-8 items-center gap-1 rounded-md px-2 text-accent hover:bg-hover lg:hidden"
      >
        <PlusIcon /> New
      </Link>
    )}
    {(isolation || health) && <Sandbox layers={isolation} programs={health?.sandbox} />}
    <ThemeButton />
    {onSignOut && (
      <Button look="quiet" onClick={onSignOut}>
        Sign out
      </Button>
    )}
  </header>
);

interface SandboxProps {
  layers: Record<string, string> | null;
  programs: Health['sandbox'] | undefined;
}

/** How the sandbox is confined, layer by layer, and what programs may use in it, on demand. */
const Sandbox = ({ layers, programs }: SandboxProps) => (
  <>
    <button
      type="button"
      popoverTarget="sandbox"
      className="inline-flex min-h-8 items-center gap-1.5 rounded-md px-2 text-muted hover:bg-hover hover:text-text"
    >
      <ShieldIcon />
      <span className="sr-only sm:not-sr-only">Sandbox</span>
    </button>
    <div
      id="sandbox"
      popover="auto"
      className="inset-auto top-12 right-3 m-0 max-h-[calc(100dvh-4rem)] max-w-[min(26rem,calc(100vw-1.5rem))] space-y-4 overflow-y-auto rounded-lg border border-line bg-panel p-4 text-text shadow-lg"
    >
      {layers && (
        <section>
          <h2 className="font-semibold">What confines the code</h2>
          <dl className="mt-2 grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-xs">
            {Object.entries(layers).map(([layer, state]) => (
              <div key={layer} className="contents">
                <dt className="font-mono text-muted">{layer}</dt>
                <dd className="break-words">{state}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
      {programs && (
        <section>
          <h2 className="font-semibold">What the code may use</h2>
          <p className="mt-2 text-xs">
            Python {programs.python}
            {programs.packages.length > 0 ? ' with these packages:' : ' and its standard library.'}
          </p>
          <ul className="mt-2 flex flex-wrap gap-x-3 gap-y-1 text-xs">
            {programs.packages.map(({ name, version }) => (
              <li key={name}>
                <span className="font-mono">{name}</span> <span className="text-muted">{version}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  </>
);

const THEMES: Record<ThemeChoice, { next: ThemeChoice; Icon: typeof SunIcon; name: string }> = {
  system: { next: 'light', Icon: ScreenIcon, name: 'as the device' },
  light: { next: 'dark', Icon: SunIcon, name: 'light' },
  dark: { next: 'system', Icon: MoonIcon, name: 'dark' },
};

function ThemeButton() {
  const { choice, choose } = useTheme();
  const { next, Icon, name } = THEMES[choice];
  return (
    <Button
      look="quiet"
      onClick={() => choose(next)}
      aria-label={`Theme: ${name}. Change to ${THEMES[next].name}.`}
      title={`Theme: ${name}`}
    >
      <Icon />
    </Button>
  );
}
