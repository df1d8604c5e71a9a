/// <reference lib="es2024.promise" />
/** aws-local-stepfunctions needs `Promise.withResolvers`, which Node has from version 22 on. Import this file before it. */
Promise.withResolvers ??= function withResolvers<T>() {
  let resolve!: PromiseWithResolvers<T>['resolve'];
  let reject!: PromiseWithResolvers<T>['reject'];
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
};
