// The page works without this. It adds the reader's own time beside UTC, buttons that copy commands,
// keys (/ to the search, j and k through the connections), and a refresh that waits for who is typing.
"use strict";
(() => {
  const same = new Date().getTimezoneOffset() === 0;
  const two = (number) => String(number).padStart(2, "0");
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime()) || !time.dateTime.includes("T")) continue;
    const local = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
    const utc = time.dateTime.replace("T", " ").replace(/(:00)?Z$/, " UTC");
    time.title = same ? utc : `${utc} · ${local} local time`;
    if (same || !("local" in time.dataset)) continue;
    const beside = document.createElement("span");
    beside.className = "local";
    const today = local.slice(0, 10) === time.dateTime.slice(0, 10);
    beside.textContent = ` (${today ? local.slice(11) : local.slice(5)} local)`;
    time.after(beside);
  }
  if (navigator.clipboard) {
    for (const code of document.querySelectorAll(".command code")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy: ${code.textContent}`);
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(code.textContent);
          button.textContent = "Copied";
        } catch {
          button.textContent = "Select and copy";
        }
      });
      code.after(button);
    }
  }
  for (const form of document.forms) {
    // An address says no more than it has to.
    form.addEventListener("submit", () => {
      for (const field of form.elements) field.disabled = field.disabled || field.value === "";
    });
    addEventListener("pageshow", () => {
      for (const field of form.elements) field.disabled = false;
    });
  }
  const folds = [...document.querySelectorAll("details")];
  const key = `unfolded ${location.pathname}`;
  const kept = (() => {
    try {
      return sessionStorage;
    } catch {
      return null; // Some keep nothing for any page.
    }
  })();
  if (performance.getEntriesByType("navigation")[0]?.type === "reload") {
    const open = (kept?.getItem(key) ?? "").split(" ");
    folds.forEach((fold, index) => (fold.open = open.includes(String(index))));
  }
  addEventListener("pagehide", () => {
    kept?.setItem(key, folds.flatMap((fold, index) => (fold.open ? [index] : [])).join(" "));
  });
  const again = () => {
    const typing = document.activeElement?.closest("input, select");
    if (document.hidden || typing || String(getSelection())) {
      setTimeout(again, 1000);
      return;
    }
    location.reload();
  };
  const refresh = Number(document.body.dataset.refresh);
  if (refresh > 0) setTimeout(again, refresh * 1000);
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      const search = document.getElementById("q");
      if (search) {
        event.preventDefault();
        search.focus();
      }
      return;
    }
    if (event.key !== "j" && event.key !== "k") return;
    const links = [...document.querySelectorAll(".rows tbody .c-name a")];
    const here = links.indexOf(document.activeElement);
    const next = event.key === "j" ? here + 1 : Math.max(here - 1, 0);
    links[Math.min(next, links.length - 1)]?.focus();
  });
})();
