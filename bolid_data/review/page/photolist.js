// The photos of a view: pages of them, loaded as they are needed; and which are selected.

import { get } from "./api.js";

export class PhotoList {
  constructor(changed) {
    this.changed = changed; // called with (first, last) of the photos that were loaded
    this.total = 0;
    this.selected = new Set(); // places
    this.clear();
  }

  clear() {
    this.pages = new Map();
    this.loading = new Set();
  }

  async open(query) {
    this.query = query;
    const opened = await get("api/view", query);
    if (this.query !== query) return false; // another was asked for meanwhile
    this.view = opened.view;
    this.total = opened.total;
    this.size = opened.page;
    this.selected.clear();
    this.clear();
    this.pages.set(0, opened.photos);
    return true;
  }

  at(place) {
    return this.pages.get(Math.floor(place / this.size))?.[place % this.size];
  }

  /** Loads the pages of these places, unless they are there. */
  need(first, last) {
    for (let page = Math.floor(first / this.size); page <= Math.floor(last / this.size); page++) {
      if (page * this.size < this.total && !this.pages.has(page)) this.load(page);
    }
  }

  async load(page) {
    const view = this.view;
    if (this.loading.has(page)) return;
    this.loading.add(page);
    try {
      const { photos } = await get(`api/view/${view}`, { start: page * this.size });
      if (view !== this.view) return;
      this.pages.set(page, photos);
      this.changed(page * this.size, page * this.size + photos.length - 1);
    } catch (error) {
      if (error.expired && view === this.view) this.expired?.();
    } finally {
      this.loading.delete(page);
    }
  }

  /** Loads again what is on these places, and drops the other pages. */
  async renew(first, last) {
    const wanted = new Set();
    for (let page = Math.floor(first / this.size); page <= Math.floor(last / this.size); page++) wanted.add(page);
    for (const page of this.pages.keys()) if (!wanted.has(page)) this.pages.delete(page);
    await Promise.all([...wanted].filter((page) => page * this.size < this.total).map((page) => this.load(page)));
  }

  /** The sha256s of the selected photos, or of the one at `place`. */
  async chosen(place) {
    if (!this.selected.size) {
      const photo = this.at(place);
      return photo ? [photo.sha256] : [];
    }
    const places = [...this.selected].sort((a, b) => a - b);
    if (places.every((one) => this.at(one))) return [...new Set(places.map((one) => this.at(one).sha256))];
    const ranges = [];
    for (const one of places) {
      if (ranges.length && ranges.at(-1)[1] === one - 1) ranges.at(-1)[1] = one;
      else ranges.push([one, one]);
    }
    const { sha256s } = await get(`api/view/${this.view}/photos`, { ranges: ranges.map((r) => r.join("-")).join() });
    return sha256s;
  }
}
