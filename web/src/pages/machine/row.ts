// SPDX-License-Identifier: ISC
// Which machine an address means.

/** Ids repeat between owners: who is signed in means a machine of their own, then one of the operator's. */
export const rightOf = <T>(all: readonly T[], owner: (one: T) => string, who: { id: string; name: string } | null): T | undefined =>
  all.find((one) => who !== null && owner(one) !== "" && (owner(one) === who.name || owner(one) === who.id)) ?? all.find((one) => owner(one) === "") ?? all[0];
