/** An invisible Streamlit component: passes what changes often to the viewer with the same key. */

import { publish } from "./streamlit-channel.js";

/** @param {{data: any}} component */
export default function updates({ data }) {
  publish(data.key, { pending: data.pending, correlations: data.correlations, asked: data.asked });
}
