/** The interface between the viewer and its modes. */

/** @import { Colors } from "../core/colors.js" */
/** @import { Payload } from "../core/payload.js" */
/** @import { View } from "../core/view.js" */

/**
 * A number, or null and the reason why there is none. `interpolated`: it lies between two that were computed.
 *
 * @typedef {object} Figure
 * @property {number | null} value
 * @property {string} reason
 * @property {boolean} [interpolated]
 */

/**
 * What changes while the maps stay: what is happening to methods without maps, and the rank correlations of the mode
 * "classes" layer by layer, for the maps with the given identity.
 *
 * @typedef {object} Updates
 * @property {Record<string, string>} pending
 * @property {{maps: string, methods: Record<string, Figure[]>, sweep: Figure[][] | null} | null} correlations
 */

/**
 * Why there is no map to show: it is constant, being computed, or does not exist for this network.
 *
 * @typedef {object} Note
 * @property {"empty" | "waiting" | "unavailable"} kind
 * @property {string} text
 */

/**
 * Everything that a frame is drawn from. A mode draws what the frame says and keeps no state that a person can see,
 * but for pointer and zoom.
 *
 * @typedef {object} Frame
 * @property {Payload} payload
 * @property {View} view
 * @property {Updates} updates
 * @property {(signed: boolean) => Colors} colors of maps that have a sign, and of those that have none; another function
 *   when the colours are others
 */

/**
 * What the viewer offers a mode.
 *
 * @typedef {object} ModeHost
 * @property {HTMLElement} root
 * @property {Payload} payload
 * @property {(change: Partial<View> | ((view: View) => Partial<View>)) => void} set change the view: drawn in the next
 *   frame, reported by settle()
 * @property {(atOnce?: boolean) => void} settle a change is final (a release, a click): report it, soon or immediately
 * @property {(method: string, layer: string) => void} open ask the surrounding page for this method on Compare
 * @property {() => void} schedule draw again in the next frame
 * @property {(method: string) => Note | null} absence why a method has no maps here; null if it has
 * @property {(text: () => string) => void} speak say something to screen readers once nothing moves any more
 * @property {() => number} headerHeight height of what covers the top of the page
 */

/**
 * The zoom of the toolbar.
 *
 * @typedef {object} ZoomActions
 * @property {(factor: number) => void} zoom
 * @property {() => void} reset
 * @property {() => void} toBox
 */

/**
 * What a mode offers the viewer. One is made when the mode begins, and dropped when another one does.
 *
 * @typedef {object} Mode
 * @property {HTMLElement} element stands below the toolbar
 * @property {HTMLElement} [lead] stands first in the toolbar
 * @property {ZoomActions} [zoomActions] without them the toolbar has no zoom and no choice of scale
 * @property {(frame: Frame) => string | null} [sharingObstacle] why the panels cannot share a colour scale, null if they can
 * @property {boolean} [fixedScale] whether the scale of the colours cannot be chosen
 * @property {() => void} take a payload has come
 * @property {() => void} resize the window or the viewer has another size
 * @property {(frame: Frame) => void} draw draw what the frame asks for; what has not changed costs nothing
 * @property {() => string} announcement what a screen reader says once nothing moves any more
 */

/** @typedef {new (viewer: ModeHost) => Mode} ModeClass */

/** Makes this file a module, so that its types can be imported. */
export {};
