// Before anything is painted: the colours that were chosen here last time.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem('herald-theme');
  } catch {
    // No storage: the system decides.
  }
  if (chosen === 'light' || chosen === 'dark') {
    document.documentElement.dataset.theme = chosen;
  }
})();
