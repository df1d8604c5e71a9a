/**
 * What the page may load and do; whoever serves it sends this as `Content-Security-Policy`.
 *
 * All is our own origin's. `style-src` has 'unsafe-inline' for Monaco alone, which writes its colours into a <style>
 * element and places its lines by style attributes; the page itself would do without. Pictures are blob: URLs,
 * because artifacts are read by the client, with its key, and are never opened by their address.
 */
export function contentSecurityPolicy(
  options: {
    /** Where artifacts are redirected to, if not to the page's own origin: `https://bucket.s3.….amazonaws.com` */
    artifactOrigin?: string;
  } = {},
): string {
  const directives: Record<string, string[]> = {
    'default-src': ["'self'"],
    'style-src': ["'self'", "'unsafe-inline'"],
    'img-src': ["'self'", 'blob:'],
    'connect-src': ["'self'", ...(options.artifactOrigin ? [options.artifactOrigin] : [])],
    'object-src': ["'none'"],
    'base-uri': ["'none'"],
    'form-action': ["'none'"],
    'frame-ancestors': ["'none'"],
  };
  return Object.entries(directives)
    .map(([name, sources]) => `${name} ${sources.join(' ')}`)
    .join('; ');
}
