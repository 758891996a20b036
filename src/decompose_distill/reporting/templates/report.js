"use strict";
// Only textContent and createTextNode are used: whatever a trace holds stays text.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const HEIGHT = 64, MORE = 4;
  const SIGNS = { right: "✓", partly: "◐", wrong: "✗", failed: "!", unscored: "–" };
  const WORDS = { right: "right", partly: "partly right", wrong: "wrong", failed: "failed", unscored: "not scored" };
  const list = byId("list"), canvas = byId("canvas"), detail = byId("detail");
  const shown = new Set(data.rows.flatMap((row, place) => (row.shown ? [place] : [])));
  let found = [], chosen = 0, words = "";

  const verdict = (answer) =>
    answer.f ? "failed" : answer.s === null ? "unscored" : answer.s === 1 ? "right" : answer.s === 0 ? "wrong" : "partly";

  const make = (tag, text, name) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (name) node.className = name;
    return node;
  };

  for (const question of data.questions) {
    for (const answer of question.a) answer.v = verdict(answer);
    const parts = [question.t, question.c || "", ...(question.g || [])];
    for (const answer of question.a) parts.push(answer.a || "", answer.f || "", answer.w || "", ...(answer.d || []));
    question.all = parts.join("\n").toLowerCase();
  }

  const differ = (question) => new Set(question.a.filter((answer) => shown.has(answer.r)).map((answer) => answer.v)).size > 1;

  const select = () => {
    const row = byId("where").value, outcome = byId("outcome").value;
    words = byId("search").value.trim().toLowerCase();
    const fits = (question) => {
      if (words && !question.all.includes(words)) return false;
      const answers = row === "" ? question.a : question.a.filter((answer) => answer.r === Number(row));
      if (!answers.length) return false;
      if (outcome === "differ") return differ(question);
      return !outcome || answers.some((answer) => answer.v === outcome);
    };
    found = data.questions.filter(fits);
    chosen = 0;
    const traces = found.reduce((sum, question) => sum + question.a.length, 0);
    byId("count").textContent = found.length
      ? `${found.length.toLocaleString("en")} of ${data.questions.length.toLocaleString("en")} questions, ${traces.toLocaleString("en")} traces`
      : "No question fits. Try fewer words, or another outcome.";
    canvas.style.height = `${found.length * HEIGHT}px`;
    list.scrollTop = 0;
    draw();
    show();
  };

  const item = (place) => {
    const question = found[place], node = make("div", undefined, "item");
    node.id = `item-${place}`;
    node.style.top = `${place * HEIGHT}px`;
    node.setAttribute("role", "option");
    node.setAttribute("aria-setsize", found.length);
    node.setAttribute("aria-posinset", place + 1);
    node.setAttribute("aria-selected", place === chosen);
    node.append(make("p", question.t));
    const marks = make("p", undefined, "marks");
    for (const answer of question.a) {
      if (!shown.has(answer.r)) continue;
      const sign = make("b", SIGNS[answer.v], `mark-${answer.v}`);
      sign.setAttribute("role", "img");
      sign.setAttribute("aria-label", `${data.rows[answer.r].name}: ${WORDS[answer.v]}`);
      sign.title = `${data.rows[answer.r].name}: ${WORDS[answer.v]}`;
      marks.append(sign);
    }
    node.append(marks);
    node.addEventListener("click", () => choose(place));
    return node;
  };

  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - MORE);
    const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + MORE);
    const items = [];
    for (let place = first; place < last; place++) items.push(item(place));
    canvas.replaceChildren(...items);
    if (chosen >= first && chosen < last) list.setAttribute("aria-activedescendant", `item-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  };

  const choose = (place) => {
    chosen = Math.max(0, Math.min(found.length - 1, place));
    const top = chosen * HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight;
    draw();
    show();
  };

  const marked = (node, text) => {
    const lower = text.toLowerCase();
    let from = 0, at = words && lower.length === text.length ? lower.indexOf(words) : -1;
    while (at >= 0) {
      node.append(text.slice(from, at), make("mark", text.slice(at, at + words.length)));
      from = at + words.length;
      at = lower.indexOf(words, from);
    }
    node.append(text.slice(from));
    return node;
  };

  const card = (answer) => {
    const node = make("article", undefined, "card");
    node.append(make("h4", data.rows[answer.r].name));
    const kinds = { right: "good", wrong: "bad", failed: "bad" };
    node.append(make("span", `${SIGNS[answer.v]} ${WORDS[answer.v]}`, `verdict ${kinds[answer.v] || "open"}`));
    if (answer.v === "partly") node.append(make("span", ` score ${answer.s.toFixed(2)}`, "quiet"));
    if (answer.f) node.append(marked(make("p", undefined, "answer"), answer.f));
    if (answer.a !== undefined) node.append(marked(make("p", undefined, "answer"), answer.a || "(empty answer)"));
    if (answer.d) {
      const steps = make("ol");
      for (const text of answer.d) steps.append(marked(make("li"), text));
      node.append(steps);
    } else node.append(make("p", "No subquestions.", "quiet"));
    if (answer.w) {
      const more = make("details");
      more.append(make("summary", "The model's own words"));
      const text = marked(make("pre"), answer.w);
      text.tabIndex = 0;
      more.append(text);
      node.append(more);
    }
    node.append(make("p", `${answer.n[0].toLocaleString("en")} tokens read, ${answer.n[1].toLocaleString("en")} written`, "quiet"));
    return node;
  };

  const show = () => {
    const question = found[chosen];
    detail.replaceChildren();
    detail.scrollTop = 0;
    if (!question) return;
    detail.append(marked(make("h3"), question.t));
    if (question.c) detail.append(marked(make("p", undefined, "context"), question.c));
    const gold = make("p", "Accepted: ", "gold");
    gold.append(question.g ? marked(make("strong"), question.g.join(" or ")) : "not known");
    detail.append(gold);
    const cards = make("div", undefined, "cards");
    for (const answer of question.a) if (shown.has(answer.r)) cards.append(card(answer));
    if (!cards.children.length) cards.append(make("p", "No row shown has this question; choose rows above.", "note"));
    detail.append(cards);
  };

  data.rows.forEach((row, place) => {
    const option = make("option", row.name);
    option.value = place;
    byId("where").append(option);
    const label = make("label"), box = make("input");
    box.type = "checkbox";
    box.checked = shown.has(place);
    box.addEventListener("change", () => {
      if (box.checked) shown.add(place);
      else shown.delete(place);
      if (byId("outcome").value === "differ") return select();
      draw();
      show();
    });
    label.append(box, row.name);
    byId("rows").append(label);
  });

  const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
  list.addEventListener("keydown", (event) => {
    if (!(event.key in MOVES)) return;
    event.preventDefault();
    choose(chosen + MOVES[event.key]);
  });
  list.addEventListener("scroll", draw, { passive: true });
  window.addEventListener("resize", draw);
  for (const id of ["search", "where", "outcome"]) byId(id).addEventListener("input", select);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  select();
})();
