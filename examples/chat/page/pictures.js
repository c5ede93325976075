// Makes a picture ready to be sent: only types that every browser shows, never larger than the server takes.

export const TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

// Beyond this a picture is not even opened: decoding it could take the memory of a phone.
const OPENED = 30_000_000;

// What a picture is scaled down to, in pixels of its longer side, until it fits.
const SIDES = [2048, 1600, 1200, 800];

export class PictureError extends Error {}

// Returns a Blob to send, or throws a PictureError whose text is for the person.
export async function prepare(file, limit) {
  if (!TYPES.includes(file.type)) {
    throw new PictureError("Only PNG, JPEG, GIF and WebP pictures can be sent.");
  }
  if (file.size > OPENED || (file.size > limit && file.type === "image/gif")) {
    throw tooLarge(file.size, limit);
  }
  const picture = await decode(file);
  try {
    return file.size <= limit ? file : await shrink(picture, file.size, limit);
  } finally {
    picture.close();
  }
}

export function megabytes(size) {
  return size < 100_000 ? `${Math.max(1, Math.round(size / 1000))} kB` : `${Math.ceil(size / 1e4) / 100} MB`;
}

async function decode(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new PictureError("This picture cannot be read. It may be damaged.");
  }
}

async function shrink(picture, size, limit) {
  const canvas = document.createElement("canvas");
  for (const side of SIDES) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    const context = canvas.getContext("2d");
    // JPEG has no transparency; without this, what is transparent would turn black.
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
    if (blob && blob.size <= limit) {
      return blob;
    }
  }
  throw tooLarge(size, limit);
}

function tooLarge(size, limit) {
  return new PictureError(`A picture may have up to ${megabytes(limit)}; this one has ${megabytes(size)}.`);
}

// The first picture among files that were chosen, pasted or dropped; the first file when none is a picture.
export function pick(files) {
  const list = [...files];
  return list.find((file) => TYPES.includes(file.type)) ?? list[0];
}
