/** Boxes on a photo that are drawn, moved and resized by mouse, finger and keys. It knows the photo's pixels and no maps. */

import { element } from "../controls/dom.js";
import { whenChanged } from "../core/redraw.js";
import { cover } from "./stage.js";

/** @import { Box } from "../core/scores.js" */
/** @import { Stage } from "./stage.js" */

/** A drag that is shorter than this, in CSS pixels, is a click and draws nothing. */
const SHORTEST_DRAG = 4;

/** Sides of a box that is added without being drawn, as a share of the room for it. */
const ADDED = 0.4;

/** How far a key moves an edge, as a share of the photo's longer side; with Alt it is one pixel. */
const KEY_STEP = 1 / 100;

/** Which edges a handle moves: -1 the left or upper one, 1 the right or lower one. */
const HANDLES = /** @type {const} */ ([[-1, -1], [0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0]]);

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * What the editor tells: other boxes, again and again during a drag, and that a change is final.
 *
 * @typedef {{change: (boxes: Box[]) => void, settle: () => void}} EditorActions
 */

/** @typedef {{boxes: readonly Box[], width: number, height: number, most: number, stage: Stage}} EditorInputs */

/** What a drag changes: `index` of the box, what it was, and its edges that follow. @typedef {{index: number, from: number[], box: Box, edges: readonly [number, number] | null}} Drag */

export class BoxEditor {
  /**
   * @param {HTMLElement} scene of a panel
   * @param {EditorActions} actions
   */
  constructor(scene, actions) {
    this.actions = actions;
    /** @type {readonly Box[]} */
    this.boxes = [];
    this.size = [1, 1];
    this.most = 0;
    /** @type {HTMLElement[]} */
    this.nodes = [];
    /** @type {Drag | null} */
    this.drag = null;
    /** @type {{from: number[], at: number[]} | null} */
    this.begun = null;
    this.element = element("div", { class: "box-editor", "data-testid": "box-editor" });
    scene.append(this.element);
    this.draw = whenChanged((/** @type {EditorInputs} */ inputs) => this.#draw(inputs));
    this.#listen();
  }

  get full() {
    return this.boxes.length >= this.most;
  }

  /**
   * Adds a box of medium size around a point of the photo, as far as the room allows, and gives it the focus.
   *
   * @param {readonly number[]} centre
   * @param {readonly number[]} room left, top, right and bottom of the part of the photo to stay in
   */
  add(centre, room) {
    if (this.full) return;
    const [left, top] = [0, 1].map((axis) => {
      const side = ADDED * (room[axis + 2] - room[axis]);
      return Math.round(Math.min(Math.max(centre[axis] - side / 2, room[axis]), room[axis + 2] - side));
    });
    const [width, height] = [0, 1].map((axis) => Math.max(Math.round(ADDED * (room[axis + 2] - room[axis])), 1));
    this.#change([...this.boxes, this.#within([left, top, left + width, top + height])]);
    this.actions.settle();
    this.#focus(this.boxes.length - 1);
  }

  /** @param {EditorInputs} inputs */
  #draw({ boxes, width, height, most, stage }) {
    cover(this.element, stage.photo);
    this.size = [width, height];
    this.most = most;
    this.#place(boxes);
  }

  /** @param {readonly Box[]} boxes */
  #place(boxes) {
    this.boxes = boxes;
    const [width, height] = this.size;
    while (this.nodes.length > boxes.length) this.nodes.pop()?.remove();
    boxes.forEach(([left, top, right, bottom], i) => {
      const node = this.nodes[i] ?? this.#build(i);
      cover(node, [left / width, top / height, right / width, bottom / height]);
      const words = [Math.round(left), Math.round(top), `${Math.round(right - left)} × ${Math.round(bottom - top)}`];
      node.setAttribute("aria-label", `Box ${i + 1}: x ${words[0]}, y ${words[1]}, ${words[2]} pixels. Arrow keys move it, with Shift they resize it, Delete removes it.`);
    });
  }

  /** @param {number} index */
  #build(index) {
    const handles = HANDLES.map(([across, down]) => element("i", { class: "box-handle", "data-edges": `${across} ${down}` }));
    const remove = element("i", { class: "box-remove", title: "Remove this box", "data-testid": "box-remove", onclick: () => this.#remove(index) });
    const node = element("div", { class: "box", tabindex: "0", role: "group", "data-testid": "box" }, ...handles, remove);
    node.addEventListener("keydown", (event) => this.#key(event, index));
    node.addEventListener("dblclick", (event) => event.stopPropagation());
    this.nodes[index] = node;
    this.element.append(node);
    return node;
  }

  #listen() {
    const { element: area } = this;
    area.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      const target = /** @type {HTMLElement} */ (event.target);
      const index = this.nodes.findIndex((node) => node.contains(target));
      // A finger on the free photo scrolls the page or moves the cursor, as everywhere.
      if (index < 0 && (event.pointerType !== "mouse" || this.full)) return;
      event.stopPropagation();
      if (target.classList.contains("box-remove")) return;
      const from = this.#photoPoint(event);
      if (index < 0) this.begun = { from, at: [event.clientX, event.clientY] };
      else {
        const edges = target.dataset.edges?.split(" ").map(Number) ?? null;
        this.drag = { index, from, box: this.boxes[index], edges: /** @type {[number, number] | null} */ (edges) };
        this.#mark(index);
      }
      area.setPointerCapture(event.pointerId);
    });
    area.addEventListener("pointermove", (event) => {
      if (this.begun !== null && Math.hypot(event.clientX - this.begun.at[0], event.clientY - this.begun.at[1]) > SHORTEST_DRAG) this.#begin(this.begun.from);
      if (this.drag !== null) this.#follow(this.drag, this.#photoPoint(event));
    });
    const end = () => {
      this.begun = null;
      if (this.drag === null) return;
      const { index } = this.drag;
      this.drag = null;
      this.#mark(-1);
      this.actions.settle();
      this.#focus(index);
    };
    area.addEventListener("pointerup", end);
    area.addEventListener("pointercancel", end);
  }

  /**
   * A new box, whose corner follows the pointer.
   *
   * @param {number[]} from
   */
  #begin(from) {
    this.begun = null;
    const corner = from.map((value, axis) => Math.min(Math.max(Math.round(value), 0), this.size[axis] - 1));
    const box = /** @type {Box} */ ([corner[0], corner[1], corner[0] + 1, corner[1] + 1]);
    this.#change([...this.boxes, box]);
    const index = this.boxes.length - 1;
    this.drag = { index, from, box: [corner[0], corner[1], corner[0], corner[1]], edges: [1, 1] };
    this.#mark(index);
  }

  /**
   * @param {Drag} drag
   * @param {number[]} at
   */
  #follow({ index, from, box, edges }, at) {
    const [across, down] = at.map((value, axis) => Math.round(value - from[axis]));
    const next = edges === null ? this.#moved(box, across, down) : this.#resized(box, edges, across, down);
    this.#change(this.boxes.map((each, i) => (i === index ? next : each)));
  }

  /**
   * @param {KeyboardEvent} event
   * @param {number} index
   */
  #key(event, index) {
    if (event.ctrlKey || event.metaKey) return;
    const direction = DIRECTIONS[event.key];
    const step = event.altKey ? 1 : Math.max(Math.round(KEY_STEP * Math.max(...this.size)), 1);
    if (direction) {
      const [across, down] = direction.map((sign) => sign * step);
      const box = this.boxes[index];
      const next = event.shiftKey ? this.#resized(box, [1, 1], across, down) : this.#moved(box, across, down);
      this.#change(this.boxes.map((each, i) => (i === index ? next : each)));
      this.actions.settle();
    } else if (event.key === "Delete" || event.key === "Backspace") this.#remove(index);
    else if (event.key === "Escape") this.nodes[index].blur();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} index */
  #remove(index) {
    this.#change(this.boxes.filter((_, i) => i !== index));
    this.actions.settle();
    if (this.boxes.length > 0) this.#focus(Math.min(index, this.boxes.length - 1));
    else /** @type {HTMLElement | null} */ (this.element.closest("[tabindex='0']"))?.focus();
  }

  /** @param {Box[]} boxes */
  #change(boxes) {
    this.#place(boxes);
    this.actions.change(boxes);
    this.element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /**
   * @param {Box} box
   * @param {number} across
   * @param {number} down
   * @returns {Box}
   */
  #moved([left, top, right, bottom], across, down) {
    const x = Math.min(Math.max(across, -left), this.size[0] - right);
    const y = Math.min(Math.max(down, -top), this.size[1] - bottom);
    return [left + x, top + y, right + x, bottom + y];
  }

  /**
   * Moves edges; one that passes the opposite edge takes its place.
   *
   * @param {Box} box
   * @param {readonly [number, number]} edges
   * @param {number} across
   * @param {number} down
   */
  #resized(box, edges, across, down) {
    const next = /** @type {Box} */ ([...box]);
    [across, down].forEach((difference, axis) => {
      if (edges[axis] === 0) return;
      const moving = edges[axis] < 0 ? axis : axis + 2;
      const fixed = box[edges[axis] < 0 ? axis + 2 : axis];
      const at = box[moving] + difference;
      const apart = at === fixed ? edges[axis] : at - fixed;
      next[axis] = Math.min(fixed, fixed + apart);
      next[axis + 2] = Math.max(fixed, fixed + apart);
    });
    return this.#within(next);
  }

  /**
   * A box inside the photo, at least one pixel wide and high.
   *
   * @param {Box} box
   * @returns {Box}
   */
  #within([left, top, right, bottom]) {
    const [width, height] = this.size;
    const [x, y] = [Math.min(Math.max(left, 0), width - 1), Math.min(Math.max(top, 0), height - 1)];
    return [x, y, Math.min(Math.max(right, x + 1), width), Math.min(Math.max(bottom, y + 1), height)];
  }

  /** @param {PointerEvent} event */
  #photoPoint(event) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return [((event.clientX - left) / width) * this.size[0], ((event.clientY - top) / height) * this.size[1]];
  }

  /** @param {number} index */
  #focus(index) {
    this.nodes[index]?.focus({ preventScroll: true });
  }

  /** @param {number} index of the box that is being dragged, -1 for none */
  #mark(index) {
    this.nodes.forEach((node, i) => node.classList.toggle("dragged", i === index));
    this.element.classList.toggle("dragging", index >= 0);
  }
}
