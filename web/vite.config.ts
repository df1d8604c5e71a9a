import { createHash } from 'node:crypto';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin, type Rolldown } from 'vite';

const runtime = 'http://127.0.0.1:3000';
const SERVICE_WORKER = 'service-worker';

/** Tells the service worker which files the page needs to start, and which build it belongs to. */
function serviceWorkerFiles(): Plugin {
  return {
    name: 'service-worker-files',
    apply: 'build',
    enforce: 'post',
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter(
        (file): file is Rolldown.OutputChunk => file.type === 'chunk',
      );
      const page = chunks.find((chunk) => chunk.isEntry && chunk.name === 'index');
      const worker = chunks.find((chunk) => chunk.isEntry && chunk.name === SERVICE_WORKER);
      if (!page || !worker) throw new Error('The build lacks the page or the service worker.');
      const styles = [...(page.viteMetadata?.importedCss ?? [])];
      const files = [page.fileName, ...page.imports, ...styles, 'favicon.svg', 'theme.js'].map(
        (file) => `/${file}`,
      );
      const build = createHash('sha256').update(Object.keys(bundle).join()).digest('hex').slice(0, 12);
      worker.code = `const FIRST_LOAD=${JSON.stringify(files)},BUILD="${build}";${worker.code}`;
    },
  };
}

export default defineConfig(({ command }) => {
  // Whoever builds, a test for one, gets what is deployed.
  if (command === 'build') process.env.NODE_ENV = 'production';
  return {
    root: import.meta.dirname,
    plugins: [react(), tailwindcss(), serviceWorkerFiles()],
    build: {
      outDir: 'dist',
      emptyOutDir: true,
      // The content security policy allows files of our own origin only, so nothing may become a data: URL.
      assetsInlineLimit: 0,
      // Monaco is one large chunk, loaded on demand.
      chunkSizeWarningLimit: 4_000,
      rolldownOptions: {
        input: { index: 'index.html', [SERVICE_WORKER]: 'src/service-worker.ts' },
        output: {
          // A service worker has a fixed address, which also says what it may serve.
          entryFileNames: ({ name }) => (name === SERVICE_WORKER ? '[name].js' : 'assets/[name]-[hash].js'),
        },
      },
    },
    server: { proxy: { '/api': runtime, '/ws': { target: runtime, ws: true } } },
  };
});
