/** An invisible Streamlit component: passes the curves, which fill while they are computed, to the one with the same key. */

import { publish } from "../../../saliency_core/viewer/web/hosts/streamlit-channel.js";

/** @param {{data: any}} component */
export default function curves({ data }) {
  publish(data.key, data);
}
