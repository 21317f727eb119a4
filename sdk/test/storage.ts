// The browser's storage, as much as the tested files touch of it. Its keys are
// own properties, as in browsers.

export const stored = new Map<string, string>();

const methods: Record<string, unknown> = {
  getItem: (key: string) => stored.get(key) ?? null,
  setItem: (key: string, value: string) => void stored.set(key, value),
  removeItem: (key: string) => void stored.delete(key),
};

export const localStorage = new Proxy(methods, {
  ownKeys: () => [...stored.keys()],
  getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true }),
});

Object.assign(globalThis, { window: Object.assign(globalThis, { localStorage, sessionStorage: localStorage }) });
