"use strict";
// The map of a geoseg page: two sides with a divider between them, classes that can be hidden.
// Tiles of classes are grey images whose values are class indices; they are coloured here.

(() => {
  const NOTHING = 255; // no class: no data, or unlabelled
  const AGREE = [160, 160, 160];
  const DIFFER = [224, 0, 122];
  const KEPT = 96; // tiles whose class indices are kept

  const { scenes, tiles } = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // --- Tiles: in the page, or asked of a server -----------------------------------------------

  const uriOf = (name) => (tiles.data ? tiles.data[name] : `tiles/${name}`);

  async function imageOf(name) {
    const uri = uriOf(name);
    if (!uri) return null;
    const image = new Image();
    image.src = uri;
    await image.decode();
    return image;
  }

  const kept = new Map();
  function indicesOf(name, side) { // side*side class indices of a tile
    if (!kept.has(name)) {
      if (kept.size >= KEPT) kept.delete(kept.keys().next().value);
      kept.set(name, imageOf(name).then((image) => {
        const indices = new Uint8Array(side * side).fill(NOTHING);
        if (!image) return indices;
        const canvas = document.createElement("canvas");
        const { width, height } = image;
        canvas.width = width;
        canvas.height = height;
        const context = canvas.getContext("2d", { willReadFrequently: true });
        context.drawImage(image, 0, 0);
        const { data } = context.getImageData(0, 0, width, height);
        for (let row = 0, from = 0; row < height; row++) {
          for (let col = 0; col < width; col++, from += 4) indices[row * side + col] = data[from];
        }
        return indices;
      }));
      kept.get(name).catch(() => kept.delete(name));
    }
    return kept.get(name);
  }

  // --- A layer of the map ---------------------------------------------------------------------

  function colorOf(text) {
    return [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));
  }

  function paint(canvas, colorAt) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const { data } = image;
    for (let at = 0, to = 0; to < data.length; at++, to += 4) {
      const color = colorAt(at);
      if (!color) continue;
      data[to] = color[0];
      data[to + 1] = color[1];
      data[to + 2] = color[2];
      data[to + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  const Tiles = L.GridLayer.extend({
    initialize(view, role, pane) {
      const { scene } = view;
      this.view = view;
      this.role = role;
      L.GridLayer.prototype.initialize.call(this, {
        pane,
        tileSize: scene.tile,
        bounds: view.bounds,
        minNativeZoom: 1 - scene.levels,
        maxNativeZoom: 0,
        minZoom: -30,
        maxZoom: 30,
        noWrap: true,
      });
      this.canvases = new Set();
      this.on("tileunload", ({ tile }) => this.canvases.delete(tile));
    },
    createTile(place, done) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = this.view.scene.tile;
      canvas.setAttribute("role", "presentation");
      this.canvases.add(canvas);
      this.fill(canvas, `${-place.z}/${place.y}/${place.x}`).then(
        () => done(null, canvas),
        (error) => done(error, canvas),
      );
      return canvas;
    },
    async fill(canvas, place) {
      const { view, role } = this;
      if (view.kind(role) === "image") {
        const image = await imageOf(view.name(role, place));
        if (image) canvas.getContext("2d").drawImage(image, 0, 0);
        return;
      }
      const roles = role === "errors" ? ["map", "reference"] : [role];
      const names = roles.map((each) => view.name(each, place));
      canvas.indices = await Promise.all(names.map((name) => indicesOf(name, view.scene.tile)));
      this.color(canvas);
    },
    color(canvas) {
      if (!canvas.indices) return;
      const { colors } = this.view;
      const [first, second] = canvas.indices;
      if (!second) return paint(canvas, (at) => colors[first[at]]);
      paint(canvas, (at) => {
        const [map, reference] = [first[at], second[at]];
        if (map === NOTHING || reference === NOTHING) return null;
        if (!colors[map] && !colors[reference]) return null;
        return map === reference ? AGREE : DIFFER;
      });
    },
    recolor() {
      this.canvases.forEach((canvas) => this.color(canvas));
    },
  });

  // --- A scene on the map ---------------------------------------------------------------------

  class View {
    constructor(number) {
      this.number = number;
      this.scene = scenes[number];
      const { width, height, classes, metres } = this.scene;
      this.bounds = L.latLngBounds([-height, 0], [0, width]);
      this.hidden = new Set();
      this.sides = {};
      this.recount();
      const crs = L.Util.extend({}, L.CRS.Simple, {
        distance: (one, other) => L.CRS.Simple.distance(one, other) * (metres ?? 1),
      });
      this.map = L.map("map", {
        crs,
        minZoom: -this.scene.levels - 1,
        maxZoom: 5,
        zoomSnap: 0.25,
        attributionControl: false,
        zoomAnimation: !still,
        fadeAnimation: false,
        inertia: !still,
        maxBounds: this.bounds.pad(0.5),
      });
      this.map.fitBounds(this.bounds);
      if (metres) L.control.scale({ imperial: false }).addTo(this.map);
      for (const side of ["left", "right"]) this.map.createPane(side).style.zIndex = 300;
      if (this.has("image")) new Tiles(this, "image", "tilePane").addTo(this.map);
      this.map.on("move zoomend resize", () => this.divide());
      this.map.on("zoomend", () => this.sharpen());
      this.map.on("mousemove", ({ latlng }) => this.tell(latlng));
      this.roles = this.scene.layers.map(({ role }) => role);
      if (this.has("map") && this.has("reference")) this.roles.push("errors");
      element("classes").hidden = !classes.length;
    }

    has(role) { return this.scene.layers.some((layer) => layer.role === role); }
    kind(role) { return this.scene.layers.find((layer) => layer.role === role)?.kind; }
    name(role, place) { return `${this.number}/${role}/${place}`; }

    file(role) { return this.scene.layers.find((layer) => layer.role === role)?.title ?? ""; }

    title(role) {
      if (role === "errors") return "Errors";
      const names = { image: "Orthophoto", map: "Map", reference: "Reference" };
      return names[role] ?? this.file(role);
    }

    show(side, role) {
      this.sides[side]?.remove();
      // the first image lies under everything, and needs no layer of its own
      this.sides[side] = role === "image" ? null : new Tiles(this, role, side).addTo(this.map);
      this.fade();
    }

    fade() {
      const opacity = this.has("image") ? element("opacity").value / 100 : 1;
      for (const [side, layer] of Object.entries(this.sides)) {
        const classes = layer && this.kind(layer.role) !== "image";
        this.map.getPane(side).style.opacity = classes ? opacity : 1;
      }
      const shown = Object.values(this.sides).map((layer) => layer?.role);
      element("errors-key").hidden = !shown.includes("errors");
    }

    sharpen() { // pixels are seen as they are when they are enlarged
      element("map").classList.toggle("enlarged", this.map.getZoom() > 0);
    }

    divide() {
      const divider = element("divider");
      const { x: width, y: height } = this.map.getSize();
      const thumb = 32;
      const at = thumb / 2 + (divider.value / 100) * (width - thumb);
      element("line").style.left = `${at}px`;
      const corner = this.map.containerPointToLayerPoint([0, 0]);
      const clip = (from, to) => {
        const [left, right] = [corner.x + from, corner.x + to];
        const [top, bottom] = [corner.y, corner.y + height];
        return `polygon(${left}px ${top}px, ${right}px ${top}px, ${right}px ${bottom}px, ${left}px ${bottom}px)`;
      };
      this.map.getPane("left").style.clipPath = clip(0, at);
      this.map.getPane("right").style.clipPath = clip(at, width);
      divider.setAttribute("aria-valuetext", `${Math.round(divider.value)} % from the left`);
    }

    toggle(number, shown) {
      if (shown) this.hidden.delete(number);
      else this.hidden.add(number);
      this.recount();
      Object.values(this.sides).forEach((layer) => layer?.recolor());
    }

    recount() { // colour of each shown class, by index
      this.colors = Array(256).fill(null);
      this.scene.classes.forEach(({ color }, number) => {
        if (!this.hidden.has(number)) this.colors[number] = colorOf(color);
      });
    }

    focus({ row_off: row, col_off: col, height, width }) {
      const scale = 1 / this.scene.shrink;
      const bounds = [[-(row + height) * scale, col * scale], [-row * scale, (col + width) * scale]];
      this.mark?.remove();
      this.mark = L.rectangle(bounds, { color: "#e0007a", weight: 2, fill: false }).addTo(this.map);
      this.map.fitBounds(bounds, { padding: [40, 40], animate: !still });
    }

    async tell({ lat, lng }) {
      const { width, height, transform: t, crs, shrink, tile, levels, classes } = this.scene;
      const [col, row] = [lng, -lat];
      if (col < 0 || row < 0 || col >= width || row >= height) return;
      const lines = [`row ${Math.floor(row * shrink)}, column ${Math.floor(col * shrink)}`];
      if (t) {
        const x = t[0] * col + t[1] * row + t[2];
        const y = t[3] * col + t[4] * row + t[5];
        const digits = Math.abs(t[0]) < 0.001 ? 6 : 1;
        lines.push(`x ${x.toFixed(digits)}, y ${y.toFixed(digits)} ${crs?.startsWith("EPSG") ? `(${crs})` : ""}`);
      }
      const level = Math.min(Math.max(-Math.ceil(this.map.getZoom()), 0), levels - 1);
      const [c, r] = [col, row].map((each) => Math.floor(each / 2 ** level));
      const place = `${level}/${Math.floor(r / tile)}/${Math.floor(c / tile)}`;
      const asked = (this.asked = {});
      for (const role of ["map", "reference"].filter((each) => this.has(each))) {
        const indices = await indicesOf(this.name(role, place), tile);
        lines.push(`${role}: ${classes[indices[(r % tile) * tile + (c % tile)]]?.name ?? "nothing"}`);
      }
      if (this.asked === asked) element("under").innerText = lines.join("\n");
    }
  }

  // --- Controls ---------------------------------------------------------------------------------

  let view;

  function make(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function offerSides() {
    const preferred = {
      left: ["image", "reference", "map"],
      right: ["map", "image2", "image"],
    };
    for (const side of ["left", "right"]) {
      const chosen = preferred[side].find((role) => view.roles.includes(role));
      element(side).querySelectorAll("label").forEach((label) => label.remove());
      for (const role of view.roles) {
        const input = make("input", { type: "radio", name: side, value: role, checked: role === chosen });
        input.addEventListener("change", () => view.show(side, role));
        element(side).append(make("label", { title: view.file(role) }, input, view.title(role)));
      }
      view.show(side, chosen);
    }
  }

  function offerClasses() {
    const list = element("classes").querySelector("ul");
    list.replaceChildren(...view.scene.classes.map(({ name, color }, number) => {
      const input = make("input", { type: "checkbox", checked: true });
      input.addEventListener("change", () => view.toggle(number, input.checked));
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = color;
      const area = make("span", { className: "area", textContent: areaOf(number) });
      return make("li", {}, make("label", {}, input, swatch, name, area));
    }));
  }

  function areaOf(number) {
    const area = view.scene.areas?.[number];
    if (!area) return "";
    const share = `${(100 * area.share).toFixed(1)} %`;
    return area.hectares === null ? share : `${area.hectares.toFixed(2)} ha, ${share}`;
  }

  async function askAreas(number) { // a server counts when it is asked
    const scene = scenes[number];
    if (scene.areas || !scene.classes.length || tiles.server === undefined) return;
    const answer = await fetch(`areas/${number}`);
    if (!answer.ok) return;
    scene.areas = await answer.json();
    const rows = document.querySelectorAll(`[data-areas="${number}"] tbody tr`);
    scene.areas.forEach(({ hectares, share, pixels }, at) => {
      const cells = rows[at].querySelectorAll("td");
      cells[0].textContent = hectares === null ? "-" : hectares.toFixed(2);
      cells[1].textContent = `${(100 * share).toFixed(2)} %`;
      cells[2].textContent = pixels.toLocaleString("en");
    });
    if (view.number === number) offerClasses();
  }

  function open(number) {
    view?.map.remove();
    view = new View(number);
    offerSides();
    offerClasses();
    view.sharpen();
    view.divide();
    askAreas(number);
  }

  function setAll(shown) {
    element("classes").querySelectorAll("input").forEach((input) => {
      if (input.checked !== shown) input.click();
    });
  }

  element("divider").addEventListener("input", () => view.divide());
  element("opacity").addEventListener("input", () => view.fade());
  element("scene").addEventListener("change", ({ target }) => open(Number(target.value)));
  element("all").addEventListener("click", () => setAll(true));
  element("none").addEventListener("click", () => setAll(false));
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  document.querySelectorAll("button.show").forEach((button) => {
    button.addEventListener("click", () => {
      const place = JSON.parse(button.dataset.place);
      const number = scenes.findIndex(({ name }) => name === place.map);
      if (number >= 0 && number !== view.number) {
        element("scene").value = number;
        open(number);
      }
      view.focus(place);
      element("stage").scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
    });
  });
  const keys = element("errors-key").querySelectorAll(".swatch");
  [AGREE, DIFFER].forEach((color, number) => { keys[number].style.background = `rgb(${color})`; });
  open(0);
})();
