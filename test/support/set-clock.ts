/** Sets this process's clock, as a person or the network does: all that reads Date sees it, timers do not. */

const RealDate = Date;

/** By so many milliseconds from the real time; 0 sets it right. */
export function setClock(ahead: number): void {
  const now = () => RealDate.now() + ahead;
  class SetDate extends RealDate {
    constructor(...given: ConstructorParameters<typeof RealDate> | []) {
      super(...((given.length > 0 ? given : [now()]) as ConstructorParameters<typeof RealDate>));
    }
    static override now = now;
    static override [Symbol.hasInstance](value: unknown) {
      return Object.prototype.isPrototypeOf.call(RealDate.prototype, Object(value));
    }
  }
  globalThis.Date = ahead === 0 ? RealDate : (SetDate as DateConstructor);
}
