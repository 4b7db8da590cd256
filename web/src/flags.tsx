// SPDX-License-Identifier: ISC
// The flag of a country: a picture of the system's font where it has one, else the letters of its code.
import { countryName, flag, hasFlag } from "./format";

let pictures: boolean | undefined;
/** Whether the font has flags at all. What is no country has no flag in any of them, but a "?" where one would be. */
function havePictures(): boolean {
  if (pictures !== undefined) return pictures;
  pictures = false;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 24;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context) {
    context.font = "20px sans-serif";
    context.fillStyle = "#000";
    context.fillText(flag("DE"), 0, 20);
    const { data } = context.getImageData(0, 0, 24, 24);
    // Letters are grey; a flag has colours.
    for (let i = 0; i < data.length && !pictures; i += 4) pictures = data[i + 3]! > 100 && Math.abs(data[i]! - data[i + 2]!) > 60;
  }
  return pictures;
}

export function Flag({ country, title }: { country: string; title?: string }) {
  if (!flag(country)) return null;
  const name = countryName(country) || country.toUpperCase();
  const picture = hasFlag(country) && havePictures();
  return (
    <span class={picture ? "flag" : "flag letters"} role="img" aria-label={name} title={title ? `${name}, ${title}` : name}>
      {picture ? flag(country) : country.toUpperCase()}
    </span>
  );
}
