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
 * A method's rank correlations layer by layer; null while they are being computed.
 *
 * @typedef {{method: string, figures: Figure[] | null}} Row
 */

/**
 * Rank correlations for the maps with the given identity: for every row of the table before the meta step and after
 * the chosen one, and for the method in the panels after each step of the sweep. `remark` says why methods that modify
 * backpropagation cannot be listed, or is empty.
 *
 * @typedef {{maps: string, before: Row[], after: Row[] | null, sweep: Figure[][] | null, remark: string}} Correlations
 */

/**
 * What is chosen in the mode "classes", also while its maps are being computed: two classes by their indices, and the
 * size of the meta step (null: switched off) with its direction.
 *
 * @typedef {{classes: [number, number], step: number | null, ascend: boolean}} Asked
 */

/**
 * What the mode "classes" asks of its page: two classes, or a meta step.
 *
 * @typedef {{classes: [number, number]} | {step: number | null, ascend: boolean}} ClassRequest
 */

/**
 * What changes while the maps stay: what is happening to methods without maps, and the figures and choices of the mode
 * "classes".
 *
 * @typedef {object} Updates
 * @property {Record<string, string>} pending
 * @property {Correlations | null} correlations
 * @property {Asked | null} asked
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
 * @property {() => void} compute ask the surrounding page for the maps of all methods that have none yet
 * @property {(wanted: ClassRequest) => void} request ask the surrounding page for other classes or another step
 * @property {boolean} offline whether nothing can be computed: what is not here is not offered then
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
 * What the page's own keys do in a mode.
 *
 * @typedef {object} Keys
 * @property {"layers" | "weights" | null} walk what the arrows walk through: the layers shown, as the depth slider does, or one
 *   layer after another with all the weight; null where there is nothing to walk through
 * @property {string[]} methods those that can be chosen, whether or not they have a key
 * @property {string[]} shown those that are shown where a chosen one appears
 * @property {string} place where that is, "" without a choice
 * @property {string} other where it appears with Shift, "" where that makes no difference
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
 * @property {(frame: Frame) => Keys} keys
 * @property {(step: number) => void} [walk] the arrow keys, where they walk through something else than the layers shown
 * @property {(method: string, other: boolean) => void} [chooseMethod] show a method; on the other side with Shift
 * @property {() => string} announcement what a screen reader says once nothing moves any more
 */

/** @typedef {new (viewer: ModeHost) => Mode} ModeClass */

/** Makes this file a module, so that its types can be imported. */
export {};
