// A reply of the v2 protocol with binary tensors: JSON first, then what it says there is.

const READERS = { FP32: ["getFloat32", 4], INT64: ["getBigInt64", 8], BOOL: ["getUint8", 1] };

/** The outputs of a reply by name: lists of numbers or of bytes. */
export function outputsOf(buffer, jsonLength) {
  const length = jsonLength ? Number(jsonLength) : buffer.byteLength;
  const { outputs } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 0, length)));
  let offset = length;
  const found = {};
  for (const output of outputs) {
    const size = output.parameters?.binary_data_size;
    found[output.name] = size === undefined ? output.data : elements(output.datatype, new DataView(buffer, offset, size));
    offset += size ?? 0;
  }
  return found;
}

export const text = (value) => (typeof value === "string" ? value : new TextDecoder().decode(value));

function elements(kind, view) {
  const listed = [];
  if (kind === "BYTES") {
    for (let at = 0; at < view.byteLength;) {
      const size = view.getUint32(at, true);
      listed.push(new Uint8Array(view.buffer, view.byteOffset + at + 4, size));
      at += 4 + size;
    }
    return listed;
  }
  const [method, size] = READERS[kind];
  for (let at = 0; at < view.byteLength; at += size) listed.push(view[method](at, true));
  return listed;
}
