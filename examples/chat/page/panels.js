// The lists at the sides: in place on a wide screen, drawers on a narrow one.

const $ = (id) => document.getElementById(id);

export class Panels {
  constructor() {
    this.opener = null;
    this.media = matchMedia("(max-width: 759px)");
    for (const name of ["sidebar", "people"]) {
      $(`open-${name}`).addEventListener("click", () => this.open(name));
    }
    document.querySelectorAll("[data-close]").forEach((element) => element.addEventListener("click", () => this.close()));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.opener && !$("viewer").open) {
        this.close();
      }
    });
    // A window that is made wider shows the lists anyway.
    matchMedia("(min-width: 1100px)").addEventListener("change", () => this.close());
    this.media.addEventListener("change", () => this.close());
  }

  get narrow() {
    return this.media.matches;
  }

  open(name) {
    this.opener = $(`open-${name}`);
    this.opener.setAttribute("aria-expanded", "true");
    $(name).classList.add("open");
    $("shade").hidden = false;
    // While a drawer is open, nothing behind it can be reached, with the keyboard either.
    $("main").inert = true;
    $(name).querySelector(".close").focus();
  }

  close() {
    if (!this.opener) {
      return;
    }
    document.querySelectorAll(".panel.open").forEach((panel) => panel.classList.remove("open"));
    $("shade").hidden = true;
    $("main").inert = false;
    this.opener.setAttribute("aria-expanded", "false");
    this.opener.focus();
    this.opener = null;
  }
}
