/** A component without a face: hands news to the viewer with the same key. */

import { setNews } from "./pending.js";

export default function status({ data }) {
  setNews(data.key, data.pending, data.figures ?? null);
}
