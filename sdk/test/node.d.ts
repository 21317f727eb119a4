// As much of Node's test runner as we use, so that checking needs one package.
declare module "node:test" {
  export function test(name: string, fn: () => void | Promise<void>): void;
  export function beforeEach(fn: () => void): void;
}
declare module "node:crypto" {
  export const webcrypto: Crypto;
}
declare module "node:assert/strict" {
  const assert: {
    equal(got: unknown, want: unknown, message?: string): void;
    deepEqual(got: unknown, want: unknown, message?: string): void;
    ok(value: unknown, message?: string): void;
    match(got: string, want: RegExp): void;
  };
  export default assert;
}
