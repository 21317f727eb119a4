// What the banner says, by language. A site may say it otherwise, word by word.

import type { BannerTexts } from "../types";

type Words = Required<BannerTexts>;

// In this order in every language, so that each need not name them again.
const names = "title body accept refuse settings save back necessary necessary_about always analytics analytics_about advertising advertising_about privacy close reopen".split(" ");

const languages: { [code: string]: string } = {
  en: `Your privacy, your choice
With your consent we use cookies and similar techniques to measure visits and to show you relevant advertising. You can change your mind at any time.
Accept all
Refuse all
Settings
Save choice
Back
Necessary
Needed for the site to work. Nothing is shared.
Always on
Analytics
Counts visits, to make the site better. Not shared with advertisers.
Advertising
Shows you relevant advertising and measures it, with our partners.
Privacy policy
Close without changes
Privacy settings`,
  de: `Ihre Daten, Ihre Wahl
Mit Ihrer Einwilligung nutzen wir Cookies und ähnliche Techniken, um Besuche zu messen und Ihnen passende Werbung zu zeigen. Sie können Ihre Wahl jederzeit ändern.
Alle akzeptieren
Alle ablehnen
Einstellungen
Auswahl speichern
Zurück
Notwendig
Nötig, damit die Website funktioniert. Nichts wird weitergegeben.
Immer aktiv
Statistik
Zählt Besuche, um die Website zu verbessern. Keine Weitergabe an Werbetreibende.
Werbung
Zeigt Ihnen passende Werbung und misst sie, mit unseren Partnern.
Datenschutz
Ohne Änderung schließen
Datenschutz-Einstellungen`,
  fr: `Votre vie privée, votre choix
Avec votre accord, nous utilisons des cookies et des techniques similaires pour mesurer les visites et vous proposer des publicités pertinentes. Vous pouvez changer d’avis à tout moment.
Tout accepter
Tout refuser
Paramètres
Enregistrer
Retour
Nécessaires
Indispensables au fonctionnement du site. Rien n’est partagé.
Toujours actifs
Mesure d’audience
Compte les visites pour améliorer le site. Rien n’est partagé avec les annonceurs.
Publicité
Vous propose des publicités pertinentes et les mesure, avec nos partenaires.
Politique de confidentialité
Fermer sans modifier
Gérer mes choix`,
  es: `Su privacidad, su elección
Con su consentimiento usamos cookies y técnicas similares para medir las visitas y mostrarle publicidad relevante. Puede cambiar de opinión en cualquier momento.
Aceptar todo
Rechazar todo
Configuración
Guardar
Volver
Necesarias
Imprescindibles para que el sitio funcione. No se comparte nada.
Siempre activas
Analítica
Cuenta las visitas para mejorar el sitio. No se comparte con anunciantes.
Publicidad
Le muestra publicidad relevante y la mide, con nuestros socios.
Política de privacidad
Cerrar sin cambios
Opciones de privacidad`,
  it: `La sua privacy, la sua scelta
Con il suo consenso usiamo cookie e tecniche simili per misurare le visite e mostrarle pubblicità pertinente. Può cambiare idea in qualsiasi momento.
Accetta tutto
Rifiuta tutto
Impostazioni
Salva la scelta
Indietro
Necessari
Servono al funzionamento del sito. Nulla viene condiviso.
Sempre attivi
Statistiche
Contano le visite per migliorare il sito. Non condivise con gli inserzionisti.
Pubblicità
Le mostra pubblicità pertinente e la misura, con i nostri partner.
Informativa sulla privacy
Chiudi senza modifiche
Impostazioni privacy`,
  nl: `Uw privacy, uw keuze
Met uw toestemming gebruiken we cookies en vergelijkbare technieken om bezoeken te meten en u relevante advertenties te tonen. U kunt uw keuze altijd wijzigen.
Alles accepteren
Alles weigeren
Instellingen
Keuze opslaan
Terug
Noodzakelijk
Nodig om de site te laten werken. Er wordt niets gedeeld.
Altijd aan
Statistieken
Telt bezoeken om de site te verbeteren. Niet gedeeld met adverteerders.
Advertenties
Toont u relevante advertenties en meet ze, met onze partners.
Privacybeleid
Sluiten zonder wijziging
Privacy-instellingen`,
  pl: `Twoja prywatność, Twój wybór
Za Twoją zgodą używamy plików cookie i podobnych technik, aby mierzyć odwiedziny i wyświetlać trafne reklamy. Decyzję można zmienić w każdej chwili.
Zaakceptuj wszystko
Odrzuć wszystko
Ustawienia
Zapisz wybór
Wstecz
Niezbędne
Potrzebne do działania strony. Niczego nie udostępniamy.
Zawsze włączone
Analityka
Zlicza odwiedziny, aby ulepszać stronę. Bez udostępniania reklamodawcom.
Reklama
Wyświetla trafne reklamy i mierzy je wspólnie z naszymi partnerami.
Polityka prywatności
Zamknij bez zmian
Ustawienia prywatności`,
  pt: `A sua privacidade, a sua escolha
Com o seu consentimento, usamos cookies e técnicas semelhantes para medir visitas e mostrar publicidade relevante. Pode mudar de opinião a qualquer momento.
Aceitar tudo
Recusar tudo
Definições
Guardar escolha
Voltar
Necessários
Indispensáveis ao funcionamento do site. Nada é partilhado.
Sempre ativos
Estatísticas
Contam visitas para melhorar o site. Não são partilhadas com anunciantes.
Publicidade
Mostra publicidade relevante e mede-a, com os nossos parceiros.
Política de privacidade
Fechar sem alterar
Definições de privacidade`,
};

/** A language as we speak it; undefined for one that we do not. */
export function builtin(code: string): Words | undefined {
  const lines = languages[code]?.split("\n");
  return lines && (Object.fromEntries(names.map((name, i) => [name, lines[i]])) as unknown as Words);
}

/**
 * The texts for a page: in the first of the wanted languages that the site or we
 * have, the site's words before ours.
 */
export function choose(wanted: readonly string[], texts: { [code: string]: BannerTexts } = {}): { code: string; words: Words } {
  for (const one of [...wanted, "en"]) {
    const full = one.toLowerCase();
    const code = [full, full.split("-")[0]].find((code) => texts[code] || languages[code]);
    if (code) {
      const base = code.split("-")[0];
      return { code, words: Object.assign({}, builtin(base) || builtin("en"), texts[base], texts[code]) };
    }
  }
  return { code: "en", words: builtin("en")! };
}
