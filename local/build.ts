/** npm run build: builds the page, also if it is up to date. */
import { buildWeb } from './build-web.ts';

await buildWeb();
