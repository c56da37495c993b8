// A fetch that answers with given bytes, parted at given places, as a network would part them.

/** @param {Uint8Array} body @param {"whole" | "bytewise" | number[]} split byte offsets where a new piece begins */
export function fetchOf(body, split) {
  return async () =>
    new Response(pieces(body, split), { status: 200, headers: { "content-type": "text/event-stream" } });
}

function pieces(body, split) {
  const cuts = split === "whole" ? [] : split === "bytewise" ? body.keys().drop(1) : split;
  const ends = [...cuts, body.length];
  let at = 0;
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next === ends.length) {
        controller.close();
        return;
      }
      controller.enqueue(body.slice(at, ends[next]));
      at = ends[next++];
    },
  });
}
