"""Every table of README.md, from stored rows.

python tables.py                              # prints the page, from results/
python tables.py --write                      # puts its tables into README.md
python tables.py --keep runs/reports/white/results.json --write
"""

from __future__ import annotations

from pathlib import Path

from rows import Check, Study

JUDGES = ("plain_cnn", "starnet", "efficientnet")

CHECKS = [
    Check("1. AlignMI with crops and turns, minus GMI", "align", ("none", "align_mi gmi (taa)"), ("none", "gmi")),
    Check("1. AlignMI with noise, minus GMI", "align", ("none", "align_mi gmi (paa)"), ("none", "gmi")),
    Check("2. LOKT minus BREP-MI", "labels", ("none", "lokt"), ("none", "brep_mi")),
    Check("3. SSD (epsilon 0.5) minus none, MIRROR", "black", ("ssd epsilon=0.5", "mirror"), ("none", "mirror")),
    Check("4. TL-DMI minus none, MIRROR", "white", ("tl_dmi", "mirror"), ("none", "mirror")),
    Check("5. LoFt of rank 20 minus none, GMI", "ladders", ("loft rank=20", "gmi"), ("none", "gmi")),
    Check("5. LoFt of rank 10 minus none, GMI", "white", ("loft", "gmi"), ("none", "gmi")),
    Check("5. LoFt of rank 10 minus none, MIRROR", "white", ("loft", "mirror"), ("none", "mirror")),
    Check("5. CALoR minus LoFt, GMI", "white", ("calor", "gmi"), ("loft", "gmi")),
    Check("6. MIDRE minus none, GMI", "white", ("midre", "gmi"), ("none", "gmi")),
    Check("6. MIDRE of up to .7 minus none, GMI", "ladders", ("midre largest=0.7", "gmi"), ("none", "gmi")),
    Check("6. MIDRE minus none, PPA", "white", ("midre", "ppa"), ("none", "ppa")),
    Check("Trap-MID minus none, GMI", "white", ("trap_mid", "gmi"), ("none", "gmi")),
    Check("Trap-MID minus none, MIRROR", "white", ("trap_mid", "mirror"), ("none", "mirror")),
    Check("7. IF-GMI minus PPA", "features", ("none", "if_gmi"), ("none", "ppa")),
    Check("PPDG-MI minus GMI (a second round)", "ppdg", ("none", "ppdg_mi gmi (gan)"), ("none", "gmi")),
    Check("Noise on the answers minus none, MIRROR", "black", ("noisy_scores", "mirror"), ("none", "mirror")),
    Check("SSD (epsilon 0.5) minus noise, MIRROR", "black", ("ssd epsilon=0.5", "mirror"), ("noisy_scores", "mirror")),
    Check("8. Learnt trapdoors minus none, GMI", "trapdoors", ("trap_mid", "gmi"), ("none", "gmi")),
    Check("8. Learnt trapdoors minus none, PPA", "trapdoors", ("trap_mid", "ppa"), ("none", "ppa")),
    Check("8. Learnt trapdoors minus none, MIRROR", "trapdoors", ("trap_mid", "mirror"), ("none", "mirror")),
    Check(
        "8. GMI that knows minus GMI, learnt trapdoors", "trapdoors", ("trap_mid", "gmi, adaptive"), ("trap_mid", "gmi")
    ),
    Check(
        "8. GMI that knows, learnt trapdoors minus none", "trapdoors", ("trap_mid", "gmi, adaptive"), ("none", "gmi")
    ),
    Check("9. LOKT minus BREP-MI, one generator", "answers", ("none", "lokt"), ("none", "brep_mi")),
    Check("10. SSD minus none, LOKT", "answers", ("ssd", "lokt"), ("none", "lokt")),
    Check("10. SSD minus none, BREP-MI", "answers", ("ssd", "brep_mi"), ("none", "brep_mi")),
    Check("10. SSD minus none, RLB-MI", "answers", ("ssd", "rlb_mi"), ("none", "rlb_mi")),
    Check("10. SSD minus none, MIRROR", "answers", ("ssd", "mirror"), ("none", "mirror")),
    Check("11. TL-DMI minus none, LOKT", "answers", ("tl_dmi", "lokt"), ("none", "lokt")),
    Check("11. TL-DMI minus none, BREP-MI", "answers", ("tl_dmi", "brep_mi"), ("none", "brep_mi")),
    Check("11. TL-DMI minus none, RLB-MI", "answers", ("tl_dmi", "rlb_mi"), ("none", "rlb_mi")),
    Check("11. TL-DMI minus none, MIRROR", "answers", ("tl_dmi", "mirror"), ("none", "mirror")),
    Check("12. MIDRE minus none, GMI, three trainings", "erasing", ("midre", "gmi"), ("none", "gmi")),
    Check("12. GMI that erases minus GMI, MIDRE", "erasing", ("midre", "gmi, adaptive"), ("midre", "gmi")),
]

if __name__ == "__main__":
    Study(Path(__file__).parent, JUDGES, CHECKS).write(__doc__)
