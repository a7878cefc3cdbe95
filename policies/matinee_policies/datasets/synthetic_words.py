"""Words from which drawn films get their genres, titles, keywords and people.

All titles and people made of them are invented; the genres are the eighteen of MovieLens.
"""

from dataclasses import dataclass

GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Children",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)


@dataclass(frozen=True, slots=True)
class Theme:
    """A kind of film.

    Attributes:
        name: for people who read this file.
        weight: share of the catalogue, before scaling.
        popularity: shift of the popularity score, in standard deviations.
        quality: shift of the mean rating, in standard deviations.
        genres: probability of each genre; the first is certain.
        adjectives: for titles.
        nouns: for titles.
        keywords: what people write about such films.
    """

    name: str
    weight: float
    popularity: float
    quality: float
    genres: dict[str, float]
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    keywords: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(","))


THEMES = (
    Theme(
        name="family drama",
        weight=21,
        popularity=-0.25,
        quality=0.35,
        genres={"Drama": 1, "Romance": 0.2, "Comedy": 0.08},
        adjectives=_words("Quiet Long Distant Broken Tender Last Ordinary Silent Late Fragile"),
        nouns=_words("Harvest House Letters Winter Daughter Silence Orchard River Promise Kitchen"),
        keywords=_phrases(
            "family secrets, grief, slow burn, coming of age, small town, tearjerker"
        ),
    ),
    Theme(
        name="broad comedy",
        weight=15,
        popularity=0.0,
        quality=-0.35,
        genres={"Comedy": 1, "Adventure": 0.06, "Crime": 0.06, "Musical": 0.03},
        adjectives=_words(
            "Accidental Wild Lucky Crooked Loud Hopeless Golden Perfect Clumsy Rented"
        ),
        nouns=_words(
            "Roommates Wedding Vacation Uncle Neighbors Picnic Reunion Salesman Goat Prom"
        ),
        keywords=_phrases("slapstick, silly, deadpan, road trip, satire, awkward"),
    ),
    Theme(
        name="romantic comedy",
        weight=10,
        popularity=0.1,
        quality=-0.15,
        genres={"Romance": 1, "Comedy": 0.85, "Drama": 0.35, "Musical": 0.04},
        adjectives=_words(
            "Sweet Second Borrowed Secret Unlikely Parisian Moonlit Hasty Summer Blind"
        ),
        nouns=_words(
            "Valentine Engagement Kiss Bouquet Bachelor Serenade Waltz Proposal Hearts Date"
        ),
        keywords=_phrases(
            "feel good, chick flick, love triangle, wedding, opposites attract, charming"
        ),
    ),
    Theme(
        name="crime story",
        weight=9,
        popularity=0.15,
        quality=0.2,
        genres={"Crime": 1, "Drama": 0.65, "Thriller": 0.5, "Action": 0.2, "Mystery": 0.1},
        adjectives=_words("Dirty Cold Blue Crooked Final Bitter Hollow Unmarked Southern Double"),
        nouns=_words("Verdict Alibi Heist Ledger Witness Debt Precinct Informant Caper Confession"),
        keywords=_phrases("mafia, heist, gritty, undercover, corruption, antihero"),
    ),
    Theme(
        name="action spectacle",
        weight=9,
        popularity=0.55,
        quality=-0.3,
        genres={"Action": 1, "Adventure": 0.4, "Thriller": 0.4, "Sci-Fi": 0.3, "Crime": 0.1},
        adjectives=_words("Maximum Rogue Burning Iron Fatal Lethal Rapid Scorched Total Steel"),
        nouns=_words(
            "Impact Vengeance Pursuit Strike Protocol Fury Velocity Ambush Recoil Fortress"
        ),
        keywords=_phrases("explosions, car chase, superhero, stylized, martial arts, one-liners"),
    ),
    Theme(
        name="suspense",
        weight=8,
        popularity=0.1,
        quality=0.05,
        genres={"Thriller": 1, "Mystery": 0.4, "Drama": 0.5, "Crime": 0.3, "Horror": 0.12},
        adjectives=_words("Hidden Pale Glass Locked Missing Silent Narrow Third Shallow Perfect"),
        nouns=_words(
            "Stranger Staircase Mirror Tenant Alarm Window Corridor Motive Whisper Accomplice"
        ),
        keywords=_phrases(
            "twist ending, paranoia, suspense, psychological, tense, unreliable narrator"
        ),
    ),
    Theme(
        name="horror",
        weight=8,
        popularity=-0.15,
        quality=-0.6,
        genres={"Horror": 1, "Thriller": 0.4, "Mystery": 0.1, "Sci-Fi": 0.15, "Comedy": 0.1},
        adjectives=_words(
            "Crimson Rotting Unholy Screaming Buried Hungry Black Cursed Midnight Lurking"
        ),
        nouns=_words("Cellar Asylum Cabin Feast Scarecrow Coven Grave Marionette Swamp Lullaby"),
        keywords=_phrases("gore, haunted house, zombies, jump scares, creepy, slasher"),
    ),
    Theme(
        name="space and machines",
        weight=5,
        popularity=0.5,
        quality=0.0,
        genres={"Sci-Fi": 1, "Adventure": 0.4, "Action": 0.4, "Drama": 0.2, "Thriller": 0.2},
        adjectives=_words(
            "Orbital Quantum Fading Seventh Artificial Frozen Infinite Lunar Parallel Lost"
        ),
        nouns=_words(
            "Horizon Android Colony Signal Nebula Paradox Engine Satellite Eclipse Machine"
        ),
        keywords=_phrases("space, dystopia, time travel, robots, aliens, thought-provoking"),
    ),
    Theme(
        name="animated family film",
        weight=6,
        popularity=0.35,
        quality=0.15,
        genres={
            "Animation": 1,
            "Children": 0.75,
            "Adventure": 0.4,
            "Comedy": 0.45,
            "Fantasy": 0.35,
            "Musical": 0.15,
        },
        adjectives=_words("Little Brave Tiny Magical Sleepy Happy Curious Flying Purple Merry"),
        nouns=_words(
            "Penguin Dragon Toymaker Hedgehog Balloon Lighthouse Acorn Puddle Fox Carousel"
        ),
        keywords=_phrases("talking animals, colorful, friendship, cute, family, fairy tale"),
    ),
    Theme(
        name="fantasy adventure",
        weight=4,
        popularity=0.45,
        quality=0.0,
        genres={"Fantasy": 1, "Adventure": 0.75, "Action": 0.35, "Children": 0.25, "Romance": 0.1},
        adjectives=_words(
            "Enchanted Forgotten Silver Ancient Emerald Wandering Sunken Eternal Veiled"
        ),
        nouns=_words("Kingdom Sorcerer Amulet Prophecy Griffin Throne Labyrinth Tower Oath Realm"),
        keywords=_phrases("magic, quest, epic, wizards, mythology, based on a book"),
    ),
    Theme(
        name="war",
        weight=4,
        popularity=0.1,
        quality=0.45,
        genres={"War": 1, "Drama": 0.8, "Action": 0.35, "Romance": 0.12},
        adjectives=_words("Fallen Muddy Northern Burning Seventh Unknown Bitter Far Iron Winter"),
        nouns=_words(
            "Trench Battalion Armistice Convoy Bridge Sergeant Bunker Retreat Medal Front"
        ),
        keywords=_phrases(
            "world war, anti-war, courage, prisoners, military, based on a true story"
        ),
    ),
    Theme(
        name="documentary",
        weight=4.5,
        popularity=-0.9,
        quality=0.5,
        genres={"Documentary": 1, "Comedy": 0.04, "Musical": 0.04},
        adjectives=_words("Inside Unseen True American Hungry Living Beyond Public Endless Modern"),
        nouns=_words(
            "Ocean Archive Factory Election Glacier Orchestra Market Border Empire Garden"
        ),
        keywords=_phrases("nature, interviews, politics, music, true crime, eye-opening"),
    ),
    Theme(
        name="mystery",
        weight=2.5,
        popularity=0.1,
        quality=0.3,
        genres={"Mystery": 1, "Drama": 0.5, "Thriller": 0.5, "Film-Noir": 0.08, "Crime": 0.3},
        adjectives=_words(
            "Vanished Thirteenth Crooked Velvet Foggy Ivory Missing Curious Last Hollow"
        ),
        nouns=_words("Detective Manuscript Manor Cipher Clue Heiress Portrait Clock Riddle Ferry"),
        keywords=_phrases("detective, whodunit, atmospheric, clever, plot twist, secret society"),
    ),
    Theme(
        name="musical",
        weight=2,
        popularity=0.1,
        quality=0.1,
        genres={"Musical": 1, "Romance": 0.45, "Comedy": 0.4, "Drama": 0.25},
        adjectives=_words(
            "Dancing Golden Broadway Swinging Velvet Singing Starlit Merry Grand Paper"
        ),
        nouns=_words(
            "Chorus Cabaret Melody Overture Ballroom Encore Footlights Rhapsody Tango Band"
        ),
        keywords=_phrases("dancing, singing, stage, catchy songs, showbiz, romance"),
    ),
    Theme(
        name="western",
        weight=1.7,
        popularity=-0.1,
        quality=0.2,
        genres={"Western": 1, "Action": 0.3, "Drama": 0.3, "Comedy": 0.12, "Adventure": 0.15},
        adjectives=_words("Dusty Lonesome Crimson Six Empty Wild Bitter Southern High Last"),
        nouns=_words("Canyon Stagecoach Marshal Prairie Saddle Outlaw Mesa Homestead Bounty Ranch"),
        keywords=_phrases("gunslinger, frontier, revenge, cowboys, desert, showdown"),
    ),
    Theme(
        name="film noir",
        weight=0.9,
        popularity=-0.1,
        quality=0.75,
        genres={"Film-Noir": 1, "Crime": 0.55, "Thriller": 0.4, "Mystery": 0.35, "Drama": 0.3},
        adjectives=_words("Dark Rainy Cold Smoky Guilty Nameless Broken Midnight Doomed Shadowed"),
        nouns=_words(
            "Alley Dame Cigarette Gamble Pier Masquerade Bullet Blackmail Nightclub Streets"
        ),
        keywords=_phrases("femme fatale, black and white, voice-over, cynical, shadows, classic"),
    ),
)

PLACES = _words(
    "Marlow Tessaly Ardenne Kestrel Lisbon Veracruz Dunmore Halifax Odessa Savannah Trieste "
    "Cordova Brighton Valencia Galway Montreal Samarkand Ostrava Bergen Tangier Calder "
    "Winslow Havana Prague"
)

FIRST_NAMES = _words(
    "Ada Ben Clara Dario Elena Felix Greta Hugo Irene Jonas Karin Leo Maya Nadia Oscar Paula "
    "Quentin Rosa Simon Tessa Ulrich Vera Walter Yara Zoe Amir Bianca Cyril Daphne Edgar "
    "Fiona Gideon Helga Ivan Julia Kenji Lucia Marco Noor Olga Pavel Ruth Stefan Talia Usha "
    "Viktor Wanda Xavier Yusuf Anton Beatriz Colin Dina Emil Farah Gloria Henrik Ines Jamal "
    "Keiko"
)

SURNAME_STARTS = _words(
    "Var Ost Kes Bel Mar Tor Hal Dun Fen Gal Hol Ker Lan Mor Nor Pel Quin Ros Sal Tam Ul Ven "
    "Wes Yar Zan Bran Cor Dres Elm Frei"
)

SURNAME_ENDS = _words(
    "den rell mond wick sley berg ova ini aro elli sson hurst ford mann ette ides oyo ura "
    "enko ister"
)
