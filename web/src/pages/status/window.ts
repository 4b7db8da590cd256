// SPDX-License-Identifier: ISC
// Which part of a long list is near the screen. All items are of one height, so nothing has to be measured but one of them.

export interface Shape {
  readonly head: number; // height of a group's heading
  readonly item: number;
  readonly gap: number; // between rows of items
  readonly columns: number;
  readonly after: number; // below a group
}

export interface Part {
  readonly from: number; // items from … to are drawn
  readonly to: number;
  readonly before: number; // height of what is not drawn above and below
  readonly behind: number;
}

/** For groups of so many items: what of each lies between top and bottom, in px from the first group's top. */
export function parts(counts: readonly number[], shape: Shape, top: number, bottom: number): Part[] {
  const step = shape.item + shape.gap;
  let y = 0;
  return counts.map((count) => {
    const start = y + shape.head;
    const lines = Math.ceil(count / shape.columns);
    const first = Math.min(lines, Math.max(0, Math.floor((top - start) / step)));
    const last = Math.max(first, Math.min(lines, Math.ceil((bottom - start) / step)));
    y = start + Math.max(0, lines * step - shape.gap) + shape.after;
    return { from: first * shape.columns, to: Math.min(count, last * shape.columns), before: first * step, behind: (lines - last) * step };
  });
}

/** Everything, for lists short enough. */
export const whole = (counts: readonly number[]): Part[] => counts.map((count) => ({ from: 0, to: count, before: 0, behind: 0 }));
