// Runs before the first paint, so that a chosen theme does not flash; src/hooks/use-theme.ts does the rest.
(() => {
  const theme = localStorage.getItem('theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
})();
