"""What a process remembers, and that it can be made to forget."""

from unveil.harness.words.memo import Memo, forget_all


def test_the_one_that_was_not_asked_for_longest_goes_first():
    memo, made = Memo(2), []

    def ask(key):
        return memo.get(key, lambda: made.append(key) or key.upper())

    assert [ask(key) for key in "abaca"] == list("ABACA")
    assert made == list("abc")  # c pushed out b, which was older than a
    assert ask("b") == "B"
    assert made == list("abcb")
    assert len(memo) == 2


def test_all_memos_forget_together():
    memos = [Memo(3), Memo(3)]
    for memo in memos:
        memo.get("private", lambda: 1)
    forget_all()
    assert [len(memo) for memo in memos] == [0, 0]
    assert memos[0].get("private", lambda: 2) == 2


def test_what_is_dear_but_fails_is_tried_again():
    memo = Memo(1)
    for _ in range(2):
        try:
            memo.get("x", lambda: 1 / 0)
        except ZeroDivisionError:
            assert len(memo) == 0
