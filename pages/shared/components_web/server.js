/** Requests to the server that are no runs of the page: searching models, sending a checkpoint, files to take along. */

const HEADER = "X-NormGrad-Session";
export const UNREACHABLE = "The server did not answer. Check the connection and try again.";

/**
 * @param {string} path
 * @param {Record<string, string>} query
 */
function address(path, query) {
  const found = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) found.searchParams.set(name, value);
  return found;
}

/**
 * What the server answers to a question; raises where it cannot be asked.
 *
 * @param {string} path
 * @param {Record<string, string>} query
 * @param {{ token?: string, signal?: AbortSignal }} [given]
 * @returns {Promise<any>}
 */
export async function ask(path, query, { token = "", signal } = {}) {
  const answer = await fetch(address(path, query), { signal, headers: { [HEADER]: token } });
  return answer.json();
}

/**
 * Sends a file or an object; the answer has an `error` where it was refused, and always one where nothing came back.
 *
 * @param {string} path
 * @param {Record<string, string>} query
 * @param {Blob | object} body
 * @param {{ token: string, signal: AbortSignal, onprogress?: (share: number) => void }} given
 * @returns {Promise<any>}
 */
export function send(path, query, body, { token, signal, onprogress }) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch does not say how much has been sent
    request.open("POST", address(path, query));
    request.setRequestHeader(HEADER, token);
    request.responseType = "json";
    request.upload.onprogress = (event) => onprogress?.(event.total ? event.loaded / event.total : 0);
    request.onload = () => resolve(request.response ?? { error: UNREACHABLE });
    request.onerror = () => resolve({ error: UNREACHABLE });
    request.onabort = () => resolve({});
    signal.addEventListener("abort", () => request.abort());
    if (body instanceof Blob) {
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.send(body);
    } else {
      request.setRequestHeader("Content-Type", "application/json");
      request.send(JSON.stringify(body));
    }
  });
}

/**
 * A file that the server makes, with the name under which to save it.
 *
 * @typedef {{ blob: Blob, name: string, error?: undefined }} Made
 */

/**
 * Has the server make a file; where that takes long, `onprogress` hears how much of it is done. Aborting stops the server
 * too, and gives an empty error.
 *
 * @param {object} order
 * @param {{ token: string, signal: AbortSignal, onprogress: (share: number, words: string) => void }} given
 * @returns {Promise<Made | { error: string }>}
 */
export async function make(order, { token, signal, onprogress }) {
  const headers = { [HEADER]: token };
  let job = "";
  const stop = () => job && fetch(address("share/job", { job }), { method: "DELETE", headers, keepalive: true });
  signal.addEventListener("abort", stop);
  try {
    let answer = await fetch(address("share/make", {}), {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify(order),
      signal,
    });
    while (answer.status === 202) {
      const { fraction, words, ...found } = await answer.json();
      job = found.job;
      onprogress(fraction, words);
      answer = await fetch(address("share/job", { job }), { headers, signal });
    }
    job = "";
    if (!answer.ok) return { error: (await answer.json()).error ?? UNREACHABLE };
    return { blob: await answer.blob(), name: fileName(answer) };
  } catch {
    return { error: signal.aborted ? "" : UNREACHABLE };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** @param {Response} answer */
function fileName(answer) {
  const encoded = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  return encoded ? decodeURIComponent(encoded) : "normgrad";
}
