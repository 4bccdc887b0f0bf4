/** A component without a face: hands news of pending methods to the viewer with the same key. */

import { setPending } from "./pending.js";

export default function status({ data }) {
  setPending(data.key, data.pending);
}
