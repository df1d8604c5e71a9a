import { useCallback, useSyncExternalStore } from 'react';

/** What is seen. */
export type Theme = 'light' | 'dark';
/** What was chosen; `system` follows the device. */
export type ThemeChoice = 'system' | 'light' | 'dark';

const KEY = 'theme';
const CHANGED = 'themechange';
const prefersDark = () => matchMedia('(prefers-color-scheme: dark)');

function chosen(): ThemeChoice {
  const stored = localStorage.getItem(KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

function shown(): Theme {
  const choice = chosen();
  if (choice !== 'system') return choice;
  return prefersDark().matches ? 'dark' : 'light';
}

function apply() {
  const choice = chosen();
  if (choice === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

function subscribe(onChange: () => void) {
  // `storage` tells of a choice in another tab.
  const change = () => {
    apply();
    onChange();
  };
  const media = prefersDark();
  addEventListener(CHANGED, change);
  addEventListener('storage', change);
  media.addEventListener('change', change);
  return () => {
    removeEventListener(CHANGED, change);
    removeEventListener('storage', change);
    media.removeEventListener('change', change);
  };
}

/** public/theme.js applies the choice before the first paint. */
export function useTheme() {
  const choice = useSyncExternalStore(subscribe, chosen);
  const theme = useSyncExternalStore(subscribe, shown);
  const choose = useCallback((next: ThemeChoice) => {
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    dispatchEvent(new Event(CHANGED));
  }, []);
  return { choice, theme, choose };
}
