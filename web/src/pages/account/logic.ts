// SPDX-License-Identifier: ISC

export type Wrong = "tooWeak" | "same" | "differ";

/** As the server judges a password: 8 characters, lower, upper, digit. The server has the last word. */
export const strong = (password: string): boolean => [...password].length >= 8 && /[a-z]/.test(password) && /[A-Z]/.test(password) && /[0-9]/.test(password);

export function checkPasswords(old: string, fresh: string, again: string): { fresh?: Wrong; again?: Wrong } {
  return {
    ...(!strong(fresh) ? { fresh: "tooWeak" as const } : fresh === old ? { fresh: "same" as const } : {}),
    ...(again !== fresh ? { again: "differ" as const } : {}),
  };
}

export const isEmail = (text: string): boolean => /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(text) && text.length <= 255;
