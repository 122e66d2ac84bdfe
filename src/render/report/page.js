// Sorts, filters and pages the tables of a report. Each table's rows stand beside
// it as JSON; cells are written as the page wrote them. Text only ever becomes
// text: nothing here makes markup of a string.
"use strict";
(() => {
  // As far as the rows are stacked in page.css, they are higher.
  const PAGE_ROWS = matchMedia("(max-width: 60rem)").matches ? 20 : 50;
  const WORST_FIRST = [
    "failed", "interrupted", "no checksum", "running", "stored", "completed", "verified", "restored",
  ];
  const collator = new Intl.Collator("en", { numeric: true });

  const make = (name, properties = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in element) element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
  const counted = (number, one, many) => `${grouped(number)} ${number === 1 ? one : many}`;

  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) {
      bytes /= 1024;
      unit += 1;
    }
    return unit === 0 ? `${bytes} B` : `${bytes.toFixed(1)} ${units[unit]}`;
  };

  const duration = (ms) => {
    const two = (number) => String(number).padStart(2, "0");
    const seconds = Math.floor(ms / 1000);
    if (seconds < 1) return `${ms} ms`;
    if (seconds < 60) return `${seconds}.${Math.floor((ms % 1000) / 100)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
  };

  const textOf = (column, value) => {
    if (value === null) return "";
    if (column.format === "bytes") return size(value);
    if (column.format === "duration") return duration(value);
    return value;
  };

  const rank = (word) => WORST_FIRST.indexOf(word.toLowerCase());

  // What is absent comes last, whichever way round.
  const comparison = (column, index, sign) => (a, b) => {
    const [one, other] = [a.cells[index], b.cells[index]];
    if (one === null || other === null) return (one === null) - (other === null) || a.at - b.at;
    let order;
    if (column.format === "when") order = b.at - a.at;
    else if (column.format === "badge") order = rank(one) - rank(other);
    else if (typeof one === "number") order = one - other;
    else order = collator.compare(one, other);
    return sign * order || a.at - b.at;
  };

  class Grid {
    constructor(root) {
      this.root = root;
      this.id = root.dataset.grid;
      const data = JSON.parse(root.querySelector("script").textContent);
      this.words = [data.one, data.many];
      this.columns = data.columns;
      this.rows = data.rows.map((cells, at) => ({ cells, at, haystack: null }));
      this.table = root.querySelector("table");
      this.body = root.querySelector("tbody");
      this.classes = [...root.querySelectorAll("th")].map((head) => head.className);
      this.sorted = { index: this.columns.findIndex((it) => it.format === "when"), sign: -1 };
      this.page = 0;
      this.choices = new Map();
      this.makeFilters();
      this.makeHeads();
      this.makePager();
      this.update();
    }

    makeFilters() {
      this.search = make("input", { type: "search", id: `${this.id}-search`, autocomplete: "off" });
      this.search.addEventListener("input", () => this.refilter());
      const label = make("label", { htmlFor: this.search.id, textContent: "Filter" });
      this.filters = make("div", { className: "filters", role: "search" });
      this.filters.setAttribute("aria-label", `Filter the ${this.words[1]}`);
      this.filters.append(make("div", {}, label, this.search));
      this.columns.forEach((column, index) => {
        if (column.format === "choice" || column.format === "badge") this.makeChoice(column, index);
      });
      this.root.insertBefore(this.filters, this.table);
    }

    makeChoice(column, index) {
      const words = [...new Set(this.rows.map((row) => row.cells[index]))];
      const known = words.filter((word) => word !== null).sort(collator.compare);
      if (known.length < 2) return;
      const select = make("select", { id: `${this.id}-choice-${index}` });
      select.append(make("option", { value: "", textContent: "all" }));
      for (const word of known) select.append(make("option", { value: word, textContent: word }));
      select.addEventListener("change", () => {
        this.choices.set(index, select.value);
        this.refilter();
      });
      const label = make("label", { htmlFor: select.id, textContent: column.title });
      this.filters.append(make("div", {}, label, select));
    }

    makeHeads() {
      this.heads = [...this.root.querySelectorAll("th")];
      this.heads.forEach((head, index) => {
        const button = make("button", { type: "button", className: "sort" }, head.textContent);
        button.addEventListener("click", () => this.sortBy(index));
        head.replaceChildren(button);
      });
    }

    makePager() {
      this.status = make("p", { className: "status", role: "status" });
      const button = (text, label, move) => {
        const made = make("button", { type: "button", textContent: text });
        made.setAttribute("aria-label", label);
        // A button that is switched off would lose the focus.
        made.addEventListener("click", () => {
          if (made.getAttribute("aria-disabled") !== "true") move();
        });
        return made;
      };
      const to = (page) => () => {
        this.page = page();
        this.update();
      };
      this.back = [
        button("«", "First page", to(() => 0)),
        button("‹ Back", "Page before", to(() => this.page - 1)),
      ];
      this.forth = [
        button("Next ›", "Next page", to(() => this.page + 1)),
        button("»", "Last page", to(() => this.lastPage())),
      ];
      this.pager = make("nav", { className: "pager" }, this.status, ...this.back, ...this.forth);
      this.pager.setAttribute("aria-label", `Pages of ${this.words[1]}`);
      this.root.append(this.pager);
    }

    sortBy(index) {
      const first = ["when", "bytes", "duration"].includes(this.columns[index].format) ? -1 : 1;
      const again = this.sorted.index === index;
      this.sorted = { index, sign: again ? -this.sorted.sign : first };
      this.page = 0;
      this.update();
    }

    refilter() {
      this.page = 0;
      this.update();
    }

    lastPage() {
      return Math.max(0, Math.ceil(this.found.length / PAGE_ROWS) - 1);
    }

    haystack(row) {
      const texts = () => this.columns.map((column, index) => textOf(column, row.cells[index]));
      row.haystack ??= texts().join("\n").toLowerCase();
      return row.haystack;
    }

    fitting() {
      const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const choices = [...this.choices].filter(([, word]) => word !== "");
      const fits = (row) =>
        choices.every(([index, word]) => row.cells[index] === word) &&
        words.every((word) => this.haystack(row).includes(word));
      return words.length + choices.length > 0 ? this.rows.filter(fits) : [...this.rows];
    }

    update() {
      const { index, sign } = this.sorted;
      this.found = this.fitting();
      if (index >= 0) this.found.sort(comparison(this.columns[index], index, sign));
      const begin = this.page * PAGE_ROWS;
      const shown = this.found.slice(begin, begin + PAGE_ROWS);
      this.body.replaceChildren(...shown.map((row) => this.row(row)));
      this.heads.forEach((head, at) => {
        if (at === index) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
      const [one, many] = this.words;
      const number = this.found.length;
      const of = number < this.rows.length ? ` of ${grouped(this.rows.length)}` : "";
      const range = number > PAGE_ROWS ? `${grouped(begin + 1)}–${grouped(begin + shown.length)} of ` : "";
      this.status.textContent = `${range}${counted(number, one, many)}${of}`;
      for (const button of this.back) button.setAttribute("aria-disabled", this.page === 0);
      for (const button of this.forth) {
        button.setAttribute("aria-disabled", this.page >= this.lastPage());
        button.hidden = this.lastPage() === 0;
      }
      for (const button of this.back) button.hidden = this.lastPage() === 0;
    }

    row(row) {
      const cells = this.columns.map((column, index) => {
        const text = textOf(column, row.cells[index]);
        const cell = make("td", { role: "cell", className: this.classes[index] });
        cell.dataset.label = column.title;
        if (column.format === "badge" && text !== "") {
          const name = text.toLowerCase().replaceAll(" ", "-");
          cell.append(make("span", { className: `badge ${name}`, textContent: text }));
        } else {
          cell.textContent = text;
        }
        return cell;
      });
      return make("tr", { role: "row" }, ...cells);
    }
  }

  for (const root of document.querySelectorAll("[data-grid]")) new Grid(root);
})();
