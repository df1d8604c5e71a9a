/** How much is done at once: the service calls behind each thing are few, and limited in number a second. */
const AT_ONCE = 10;

/**
 * Does `work` for all of `items`, a few at once, whatever of it fails.
 * @throws AggregateError at the end, with all errors in one list
 */
export async function doAll<T>(items: T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const errors: unknown[] = [];
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) {
      try {
        await work(item);
      } catch (error) {
        if (error instanceof AggregateError) errors.push(...error.errors);
        else errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  if (errors.length > 0) throw new AggregateError(errors, [...new Set(errors.map(String))].join('; '));
}
