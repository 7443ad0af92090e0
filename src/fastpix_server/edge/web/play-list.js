// The list beside the player: what this viewer may watch of a playlist, one after the other, with a way back and forth.
//
// window.fastpixPlaylist is for whoever embeds or tests the page: `items`, `index`, `go(index)`, `next()`, `previous()`.
"use strict";

const list = document.querySelector(".list");
const rows = list.querySelector("ol");
const rowOf = (index) => rows.children[index];

class FastpixPlaylist {
  constructor() {
    this.items = [];
    this.index = -1;
  }

  async load() {
    const url = new URL(`${location.pathname.replace(/\/$/, "")}/items`, location.origin);
    for (const token of parameters.getAll("token")) url.searchParams.append("token", token);
    let answer;
    try {
      answer = await fetch(url, { cache: "no-store" });
    } catch {
      player.tell("No connection", "The video server cannot be reached. Check your connection and try again.");
      return;
    }
    if (!answer.ok) {
      if (answer.status === 404) player.tell("There is no such playlist", "The link may be wrong, or its owner has taken it down.");
      else player.tell("Something went wrong", "The video server has a problem at the moment. Please try again shortly.");
      return;
    }
    const { name, items } = await answer.json();
    this.items = items;
    document.title = name;
    document.querySelector("#list-name").textContent = name;
    rows.replaceChildren(...items.map((item, index) => this.row(item, index)));
    if (!items.length) {
      player.tell("Nothing to watch here", "This playlist is empty, or its videos need a permission that this page does not have.");
      return;
    }
    list.hidden = false;
    this.go(Math.min(Math.max(Number(location.hash.slice(1)) || 1, 1), items.length) - 1);
  }

  go(index) {
    if (!this.items[index]) return;
    rowOf(this.index)?.removeAttribute("aria-current");
    this.index = index;
    const row = rowOf(index);
    row.setAttribute("aria-current", "true");
    row.scrollIntoView({ block: "nearest" });
    // A reload, and "Try again", go on here.
    history.replaceState(null, "", `${location.pathname}${location.search}#${index + 1}`);
    document.querySelector("#list-place").textContent = `${index + 1} of ${this.items.length}`;
    document.querySelector("#previous").disabled = index === 0;
    document.querySelector("#next").disabled = index === this.items.length - 1;
    const item = this.items[index];
    player.say("item", { index, playbackId: item.playbackId });
    player.open(item.playbackId, this.tokenOf(item));
  }

  next() {
    this.go(this.index + 1);
  }

  previous() {
    this.go(this.index - 1);
  }

  tokenOf(item) {
    return item.token === undefined ? null : parameters.getAll("token")[item.token];
  }

  row(item, index) {
    const row = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const title = document.createElement("span");
    title.textContent = item.title || `${item.isAudioOnly ? "Sound" : "Video"} ${index + 1}`;
    title.title = title.textContent;
    const length = document.createElement("small");
    length.textContent = item.duration ? clock(item.duration) : "";
    button.append(item.isAudioOnly ? document.createElement("i") : this.picture(item), title, length);
    button.addEventListener("click", () => this.go(index));
    row.append(button);
    return row;
  }

  picture(item) {
    const image = new Image(96, 54);
    const url = new URL(`/${item.playbackId}/thumbnail.jpg?width=192&height=108&fit_mode=crop`, location.origin);
    const token = this.tokenOf(item);
    if (token) url.searchParams.set("token", token);
    image.alt = "";
    image.loading = "lazy"; // a picture is made when it is asked for first
    image.src = url.href;
    return image;
  }
}

function clock(seconds) {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const playlist = new FastpixPlaylist();
window.fastpixPlaylist = playlist;
document.querySelector("#next").addEventListener("click", () => playlist.next());
document.querySelector("#previous").addEventListener("click", () => playlist.previous());
player.addEventListener("ended", () => playlist.next());
document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, input") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "n") playlist.next();
  if (event.key === "p") playlist.previous();
});
playlist.load();
