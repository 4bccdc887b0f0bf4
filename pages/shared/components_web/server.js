/** Requests to the server that are no runs of the page: searching models, and sending a checkpoint. */

const HEADER = "X-NormGrad-Session";
export const UNREACHABLE = "The server did not answer. Check the connection and try again.";

/**
 * @param {string} path
 * @param {Record<string, string>} query
 */
function address(path, query) {
  const found = new URL(`models/${path}`, document.baseURI);
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
